package architecture

import (
	"maps"
	"slices"
	"strings"
)

// readme compares the generated parts of the architecture's page with the code.
var readme = rule{
	name: "readme",
	why: "an outdated map is worse than none: people plan an extraction by it; " +
		"see \"A distributed monolith\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		page := strings.ReplaceAll(t[Readme], "\r\n", "\n")
		parts := t.Model().Generated()
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			f.subjects++
			switch filled, ok := Fill(page, name, parts[name]); {
			case !ok:
				f.add(Readme, "has no place for the "+name,
					"add the lines <!-- "+name+" --> and <!-- /"+name+
						" --> where it belongs, and run bin/seam map --write")
			case filled != page:
				f.add(Readme, "the part at <!-- "+name+" --> is outdated",
					"run make generate (or bin/seam map --write), and review the change")
			}
		}
		return f
	},
	refuses: []plant{
		{name: "an event gets a field", file: "modules/orders/ordersapi/events.go", old: "\tEmail      string",
			text: "\tPhone      string `json:\"phone\"`\n\tEmail      string",
			want: "at <!-- events --> is outdated"},
		{name: "an event becomes true at another time", file: "modules/orders/ordersapi/events.go",
			old:  "once the customer's order is stored",
			text: "once the order is paid", want: "at <!-- events --> is outdated"},
		{name: "a table is added", file: "migrations/payments/0002_fees.sql",
			text: "-- +goose Up\nCREATE TABLE fees (id uuid);", want: "at <!-- map --> is outdated"},
		{name: "a module loses its process", file: "cmd/payments/", want: "at <!-- map --> is outdated"},
		{name: "a handler is removed", file: "modules/notifications/events.go",
			old: "events.OnBatch(m.onOrdersConfirmed).Linger(),", text: "", want: "at <!-- map --> is outdated"},
		{name: "the map was drawn by hand", file: Readme, old: "flowchart LR", text: "flowchart TB",
			want: "at <!-- map --> is outdated"},
		{name: "a marker is lost", file: Readme, old: "<!-- /events -->", text: "",
			want: "has no place for the events"},
	},
	accepts: []plant{
		{name: "prose around the parts", file: Readme, text: "More about the map.\n"},
		{name: "a comment in a handler", file: "modules/payments/near.go",
			text: "package payments\n\n// near is here.\nconst near = 1\n"},
		{name: "a table is only in a comment", file: "migrations/payments/0002_near.sql",
			text: "-- +goose Up\n-- CREATE TABLE fees would be too early.\nSELECT 1;\n-- +goose Down\nCREATE TABLE fees (id uuid);"},
		{name: "a command that serves no module", file: "cmd/near/main.go", text: "package main\n\nfunc main() {}\n"},
	},
}
