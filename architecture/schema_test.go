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

// eventSchemas says that what each event looks like is written down as it is in the code, where a listener in any language can read it;
// and that each module's routes are written down at all, since only the running shop can say whether they are right (TestContracts).
var eventSchemas = rule{
	name: "schemas",
	why: "a change of an event is seen by its listeners in review, and not in their logs; " +
		"see \"Contracts that break\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		var topics []string
		for _, e := range t.Events() {
			f.subjects++
			_, faults := t.Describe(e)
			for _, fault := range faults {
				f.add(e.At(), e.Go()+" cannot be described: "+fault, "write it so that every listener can read it, in any language")
			}
			switch {
			case e.Topic == "" || slices.Contains(topics, e.Topic): // rule contextmap says so
				continue
			case t[schemaFile(e.Topic)] != t.Schema(e):
				f.add(e.At(), e.Go()+" is not as "+schemaFile(e.Topic)+" says", "run make generate, and commit what it writes")
			}
			topics = append(topics, e.Topic)
		}
		for _, module := range t.Modules() {
			if _, there := t[contractsFolder+"/"+module+openapiSuffix]; !there {
				f.add("modules/"+module, "has no "+contractsFolder+"/"+module+openapiSuffix+", which says what routes it has", "run make generate, and commit what it writes")
			}
		}
		for _, file := range t.Match(contractsFolder + "/*" + openapiSuffix) {
			if module := strings.TrimSuffix(path.Base(file), openapiSuffix); !slices.Contains(t.Modules(), module) {
				f.add(file, "describes the routes of "+module+", which is no module", "delete it")
			}
		}
		for _, file := range t.Match(schemaFile("*")) {
			if topic := strings.TrimSuffix(path.Base(file), schemaSuffix); !slices.Contains(topics, topic) && !t.unnamed(topicOf(topic)) {
				f.add(file, "describes "+topic+", which no contract has", "run make generate, and commit what it writes")
			}
		}
		return f
	},
	refuses: []plant{
		{name: "a field is added and not generated", file: "modules/orders/ordersapi/events.go",
			old: "\tEmail ", text: "\tNote string `json:\"note\"`\n\tEmail ", want: "run make generate"},
		{name: "a promise changes in words and is not generated", file: "modules/orders/ordersapi/events.go",
			old: "is true once the customer's order is stored", text: "is true before the customer's order is stored",
			want: "ordersapi.Placed is not as architecture/contracts/orders.placed.v1.schema.json says"},
		{name: "an event is added and not generated", file: "modules/orders/ordersapi/shipped.go", text: shipped, want: "orders.shipped.v1.schema.json"},
		{name: "an event is gone and its description is not", file: "architecture/contracts/orders.shipped.v1.schema.json", text: "{}",
			want: "orders.shipped.v1, which no contract has"},
		{name: "a description is edited by hand", file: "architecture/contracts/orders.placed.v1.schema.json", old: "order_id", text: "order",
			want: "ordersapi.Placed is not as"},
		{name: "an event holds what only Go can read", file: "modules/orders/ordersapi/events.go",
			old: "\tEmail ", text: "\tNotify func()\n\tEmail ", want: "ordersapi.Placed cannot be described"},
		{name: "an event writes itself", file: "modules/orders/ordersapi/json.go",
			text: "package ordersapi\n\n// MarshalJSON renames.\nfunc (m *Money) MarshalJSON() ([]byte, error) { return nil, nil }", want: "Money has the method MarshalJSON"},
		{name: "a module more, of which nothing is written down", file: "modules/parcels/go.mod", text: "module example.com/shop/modules/parcels",
			want: "modules/parcels: has no architecture/contracts/parcels.openapi.json"},
		{name: "a module less, of which something is written down", file: "architecture/contracts/parcels.openapi.json", text: "{}",
			want: "the routes of parcels, which is no module"},
	},
	accepts: []plant{
		{name: "a topic is put together, which contextmap tells", file: "modules/orders/ordersapi/events.go",
			old: `return "orders.placed.v1"`, text: `return "orders." + "placed.v1"`},
		{name: "the fields change places", file: "modules/orders/ordersapi/events.go",
			old: "\tAmount   int64  `json:\"amount\"`\n\tCurrency string `json:\"currency\"`", text: "\tCurrency string `json:\"currency\"`\n\tAmount   int64  `json:\"amount\"`"},
		{name: "a field has another name in Go", file: "modules/orders/ordersapi/events.go", old: "\tEmail ", text: "\tMail "},
		{name: "a contract has a struct that is no event", file: "modules/orders/ordersapi/near.go",
			text: "package ordersapi\n\n// Filter picks orders.\ntype Filter struct{ Match func() bool }"},
		{name: "what is in no event writes itself", file: "modules/orders/ordersapi/near.go",
			text: "package ordersapi\n\n// Filter picks orders.\ntype Filter struct{}\n\n// MarshalText is for addresses.\nfunc (Filter) MarshalText() ([]byte, error) { return nil, nil }"},
		{name: "a contract has a constant more", file: "modules/orders/ordersapi/near.go",
			text: "package ordersapi\n\n// ReasonLost is one more of Cancelled's reasons.\nconst ReasonLost = \"lost\""},
	},
}

// shipped is one event more.
const shipped = "package ordersapi\n\n// Shipped is true once the parcel has left.\ntype Shipped struct {\n\tOrderID string `json:\"order_id\"`\n}\n\n" +
	"// Topic is the event's wire name.\nfunc (Shipped) Topic() string { return \"orders.shipped.v1\" }\n"

// TestSchema says how each kind of Go type is described.
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
