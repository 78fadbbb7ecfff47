package architecture

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	contractsFolder = "architecture/contracts"
	schemaSuffix    = ".schema.json"
)

func schemaFile(topic string) string { return contractsFolder + "/" + topic + schemaSuffix }

// eventSchemas checks that each event's schema is committed as the code has it, for subscribers in
// any language, and that each module's routes are committed; only the running shop shows whether
// those are right (TestContracts).
var eventSchemas = rule{
	name: "schemas",
	why: "subscribers should see a change of an event in review, and not in their logs; " +
		"see \"Contracts that break\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		var topics []string
		for _, e := range t.Events() {
			f.subjects++
			_, faults := t.Describe(e)
			for _, fault := range faults {
				f.add(e.At(), e.Go()+" cannot be described: "+fault,
					"use types that subscribers in any language can read")
			}
			switch {
			case e.Topic == "" || slices.Contains(topics, e.Topic): // rule contextmap reports it
				continue
			case t[schemaFile(e.Topic)] != t.Schema(e):
				f.add(e.At(), e.Go()+" differs from "+schemaFile(e.Topic), "run make generate, and commit the result")
			}
			topics = append(topics, e.Topic)
		}
		for _, module := range t.Modules() {
			if _, there := t[contractsFolder+"/"+module+openapiSuffix]; !there {
				f.add("modules/"+module,
					"has no "+contractsFolder+"/"+module+openapiSuffix+", which describes its routes",
					"run make generate, and commit the result")
			}
		}
		for _, file := range t.Match(contractsFolder + "/*" + openapiSuffix) {
			if module := strings.TrimSuffix(path.Base(file), openapiSuffix); !slices.Contains(t.Modules(), module) {
				f.add(file, "describes the routes of "+module+", which is not a module", "delete it")
			}
		}
		for _, file := range t.Match(schemaFile("*")) {
			if topic := strings.TrimSuffix(path.Base(file), schemaSuffix); !slices.Contains(topics, topic) &&
				!t.unnamed(topicOf(topic)) {
				f.add(file, "describes "+topic+", which no contract has", "run make generate, and commit the result")
			}
		}
		return f
	},
	refuses: []plant{
		{name: "a field is added and not generated", file: "modules/orders/ordersapi/events.go",
			old: "\tEmail ", text: "\tNote string `json:\"note\"`\n\tEmail ", want: "run make generate"},
		{name: "an event carries anything", file: "modules/orders/ordersapi/events.go",
			old: "\tEmail ", text: "\tNote any `json:\"note\"`\n\tEmail ", want: "any cannot be described"},
		{name: "an event carries raw JSON", file: "modules/orders/ordersapi/events.go",
			old: "\tEmail ", text: "\tNotes map[string]json.RawMessage `json:\"notes\"`\n\tEmail ",
			want: "json.RawMessage cannot be described"},
		{name: "a comment changes and is not generated", file: "modules/orders/ordersapi/events.go",
			old: "is true once the customer's order is stored", text: "is true before the customer's order is stored",
			want: "ordersapi.Placed differs from architecture/contracts/orders.placed.v1.schema.json"},
		{name: "an event is added and not generated", file: "modules/orders/ordersapi/shipped.go", text: shipped,
			want: "orders.shipped.v1.schema.json"},
		{name: "an event is removed and its schema is not",
			file: "architecture/contracts/orders.shipped.v1.schema.json", text: "{}",
			want: "orders.shipped.v1, which no contract has"},
		{name: "a schema is edited by hand", file: "architecture/contracts/orders.placed.v1.schema.json",
			old: "order_id", text: "order",
			want: "ordersapi.Placed differs from"},
		{name: "an event contains what only Go can read", file: "modules/orders/ordersapi/events.go",
			old: "\tEmail ", text: "\tNotify func()\n\tEmail ", want: "ordersapi.Placed cannot be described"},
		{name: "an event has its own JSON", file: "modules/orders/ordersapi/json.go",
			text: "package ordersapi\n\n// MarshalJSON renames.\nfunc (m *Money) MarshalJSON() ([]byte, error) { return nil, nil }",
			want: "Money has the method MarshalJSON"},
		{name: "another module without a description", file: "modules/parcels/go.mod",
			text: "module example.com/shop/modules/parcels",
			want: "modules/parcels: has no architecture/contracts/parcels.openapi.json"},
		{name: "a description without a module", file: "architecture/contracts/parcels.openapi.json", text: "{}",
			want: "the routes of parcels, which is not a module"},
	},
	accepts: []plant{
		{name: "a topic is concatenated, which contextmap reports", file: "modules/orders/ordersapi/events.go",
			old: `return "orders.placed.v1"`, text: `return "orders." + "placed.v1"`},
		{name: "the fields change their order", file: "modules/orders/ordersapi/events.go",
			old:  "\tAmount   int64  `json:\"amount\"`\n\tCurrency string `json:\"currency\"`",
			text: "\tCurrency string `json:\"currency\"`\n\tAmount   int64  `json:\"amount\"`"},
		{name: "a field has another name in Go", file: "modules/orders/ordersapi/events.go", old: "\tEmail ",
			text: "\tMail "},
		{name: "a contract has a struct that is not an event", file: "modules/orders/ordersapi/near.go",
			text: "package ordersapi\n\n// Filter picks orders.\ntype Filter struct{ Match func() bool }"},
		{name: "a type outside of events has its own JSON", file: "modules/orders/ordersapi/near.go",
			text: "package ordersapi\n\n// Filter picks orders.\ntype Filter struct{}\n\n// MarshalText is for addresses.\nfunc (Filter) MarshalText() ([]byte, error) { return nil, nil }"},
		{name: "a contract has another constant", file: "modules/orders/ordersapi/near.go",
			text: "package ordersapi\n\n// ReasonLost is one more of Cancelled's reasons.\nconst ReasonLost = \"lost\""},
	},
}

// shipped is a file with another event.
const shipped = "package ordersapi\n\n// Shipped is true once the parcel has left.\n" +
	"type Shipped struct {\n\tOrderID string `json:\"order_id\"`\n}\n\n" +
	"// Topic is the event's wire name.\nfunc (Shipped) Topic() string { return \"orders.shipped.v1\" }\n"

// TestSchema checks the schema of each kind of Go type.
func TestSchema(t *testing.T) {
	t.Parallel()
	tree := Tree{
		"modules/tea/go.mod": "module tea",
		"modules/tea/teaapi/tea.go": `package teaapi

// Brewed is true once the tea
// is ready.
type Brewed struct {
	Cups   []Cup             ` + "`json:\"cups\"`" + `
	Notes  map[string]string ` + "`json:\"notes,omitempty\"`" + `
	At     time.Time         ` + "`json:\"at\"`" + ` // by the kitchen's clock
	Grams  *float64          ` + "`json:\"grams\"`" + `
	Pot    *Cup              ` + "`json:\"pot,omitempty\"`" + `
	Kind   Kind              ` + "`json:\"kind\"`" + `
	Secret string            ` + "`json:\"-\"`" + `
	Hot    bool
	Image  []byte            ` + "`json:\"image\"`" + `
	Stamp
	hidden int
}

type Kind string

type Stamp struct {
	Version int32 ` + "`json:\"version\"`" + `
}

type Cup struct {
	Millilitres int ` + "`json:\"ml\"`" + `
}

func (Brewed) Topic() string { return "tea.brewed.v1" }
`,
	}
	events := tree.Events()
	if len(events) != 1 {
		t.Fatalf("got %+v", events)
	}
	want, err := os.ReadFile("testdata/tea.brewed.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Schema(events[0]); got != string(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
