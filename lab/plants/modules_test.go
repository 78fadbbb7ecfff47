package plants

import (
	"strings"

	"example.com/shop/platform/service"
)

func init() {
	plants["modules"] = set{
		refuses: []plant{
			{name: "a module without a go.mod", file: "modules/shipping/module.go", text: "package shipping\n",
				want: "modules/shipping: has no go.mod, so no rule sees that it is a module"},
			{name: "no canvas", file: "modules/orders/README.md",
				want: "modules/orders/README.md: the module orders has no canvas"},
			{name: "a canvas without its tables", file: "modules/orders/README.md", old: "| **Tables** |", text: "| |",
				want: "the module orders has no canvas"},
			{name: "a canvas whose rules do not exist", file: "modules/orders/README.md", old: "[order.go](order.go)",
				text: "[order.go](rules.go)",
				want: "the row Rules of orders names no file"},
			{name: "a canvas that is too long", file: "modules/orders/README.md", text: strings.Repeat("More.\n", 40),
				want: "the canvas of orders has more than 40 lines"},
			{name: "no schema", file: "migrations/orders/", want: "migrations/orders: the module orders has no schema"},
			{name: "no process of its own", file: "cmd/orders/", want: "cmd/orders: the module orders has no process"},
			{name: "not served by the monolith", file: described, old: `"module": "orders"`, text: `"module": "bestellungen"`,
				want: "cmd/monolith/main.go: does not serve orders"},
			saying("another module's migrations", "cmd/monolith/main.go: has other migrations for orders than migrations/orders",
				func(all map[string]*service.Description) { all["orders"].Migrations = []string{"0001_payments.sql"} }),
			{name: "not required", file: "go.mod", old: "\texample.com/shop/modules/orders v0.0.0\n", text: "",
				want: "go.mod: does not require"},
			{name: "not replaced", file: "go.mod",
				old: "\texample.com/shop/modules/orders/ordersapi => ./modules/orders/ordersapi\n", text: "",
				want: "go.mod: does not require"},
			{name: "not in the workspace", file: "go.work", old: "\t./modules/orders\n", text: "",
				want: "go.work: does not use"},
		},
		accepts: []plant{
			{name: "a module that publishes nothing has no contract", file: "modules/payments/paymentsapi/"},
			{name: "a comment in the workspace", file: "go.work", old: "\t./modules/orders\n",
				text: "\t./modules/orders // the first\n"},
			{name: "a canvas that says more", file: "modules/orders/README.md", text: "More of orders is in the wiki."},
		},
	}
}
