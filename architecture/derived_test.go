package architecture

import (
	"maps"
	"slices"
	"strings"
)

// derived compares the files that follow from the modules, such as the map in the architecture's
// page, with what they would be now.
var derived = rule{
	name: "derived",
	why: "an outdated map is worse than none: people plan an extraction by it; " +
		"see \"A distributed monolith\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		files, err := t.Derived()
		if err != nil {
			f.add("deploy and "+Readme, err.Error(), "correct it, and run make generate")
			return f
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f.subjects++
			if files[name] != strings.ReplaceAll(t[name], "\r\n", "\n") {
				f.add(name, "is outdated", "run make generate, and review the change")
			}
		}
		return f
	},
	refuses: []plant{
		{name: "an event gets a field", file: "modules/orders/ordersapi/events.go", old: "\tEmail      string",
			text: "\tPhone      string `json:\"phone\"`\n\tEmail      string",
			want: Readme + ": is outdated"},
		{name: "an event becomes true at another time", file: "modules/orders/ordersapi/events.go",
			old:  "once the customer's order is stored",
			text: "once the order is paid", want: Readme + ": is outdated"},
		{name: "a table is added", file: "migrations/payments/0002_fees.sql",
			text: "-- +goose Up\nCREATE TABLE fees (id uuid);", want: Readme + ": is outdated"},
		{name: "a module loses its process", file: "cmd/payments/", want: Readme + ": is outdated"},
		{name: "a handler is removed", file: "modules/notifications/events.go",
			old: "events.OnBatch(m.onOrdersConfirmed).Linger(),", text: "", want: Readme + ": is outdated"},
		{name: "the map was drawn by hand", file: Readme, old: "flowchart LR", text: "flowchart TB",
			want: Readme + ": is outdated"},
		{name: "a route is lost", file: "deploy/routes.yaml", old: "prefix: /v1/orders", text: "prefix: /v1/bestellungen",
			want: "deploy/routes.yaml: no route leads to orders"},
		{name: "a route of the whole split is lost", file: "deploy/routes/compose.yaml", old: "prefix: /v1/orders",
			text: "prefix: /v1/bestellungen", want: "deploy/routes/compose.yaml: no route leads to orders"},
		{name: "a generated file is edited", file: "deploy/compose.yaml", text: "# more\n",
			want: "deploy/compose.yaml: is outdated"},
		{name: "a marker is lost", file: Readme, old: "<!-- /events -->", text: "",
			want: "has no lines <!-- events -->"},
	},
	accepts: []plant{
		{name: "other weights", file: "deploy/routes.yaml", old: "weight: 100", text: "weight:  100"},
		{name: "prose around the parts", file: Readme, text: "More about the map.\n"},
		{name: "a comment in a handler", file: "modules/payments/near.go",
			text: "package payments\n\n// near is here.\nconst near = 1\n"},
		{name: "a table is only in a comment", file: "migrations/payments/0002_near.sql",
			text: "-- +goose Up\n-- CREATE TABLE fees would be too early.\nSELECT 1;\n-- +goose Down\nCREATE TABLE fees (id uuid);"},
		{name: "a command that serves no module", file: "cmd/near/main.go", text: "package main\n\nfunc main() {}\n"},
	},
}
