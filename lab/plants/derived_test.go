package plants

import "example.com/shop/platform/service"

func init() {
	plants["derived"] = set{
		refuses: []plant{
			carrying("an event gets a field", service.Field{Name: "phone", Type: "string"}, readme+": is outdated"),
			carrying("an event gets a field and no schema", service.Field{Name: "phone", Type: "string"},
				"architecture/contracts/orders.placed.v1.schema.json: is outdated"),
			{name: "an event becomes true at another time, and no schema", file: "modules/orders/ordersapi/events.go",
				old:  "once the customer's order is stored",
				text: "once the order is paid", want: "architecture/contracts/orders.placed.v1.schema.json: is outdated"},
			{name: "a schema is edited by hand", file: "architecture/contracts/orders.placed.v1.schema.json",
				old: "order_id", text: "order", want: "orders.placed.v1.schema.json: is outdated"},
			{name: "routes are edited by hand", file: "architecture/contracts/orders.openapi.json",
				old: "created_at", text: "placed_at", want: "orders.openapi.json: is outdated"},
			{name: "an event is removed and its schema is not",
				file: "architecture/contracts/orders.shipped.v1.schema.json", text: "{}",
				want: "orders.shipped.v1.schema.json: describes what no module has"},
			{name: "a description without a module", file: "architecture/contracts/parcels.openapi.json", text: "{}",
				want: "parcels.openapi.json: describes what no module has"},
			{name: "an event becomes true at another time", file: "modules/orders/ordersapi/events.go",
				old:  "once the customer's order is stored",
				text: "once the order is paid", want: readme + ": is outdated"},
			{name: "a module loses its process", file: "cmd/payments/", want: readme + ": is outdated"},
			{name: "the map was drawn by hand", file: readme, old: "flowchart LR", text: "flowchart TB",
				want: readme + ": is outdated"},
			{name: "a route is lost", file: "deploy/routes.yaml", old: "prefix: /v1/orders", text: "prefix: /v1/bestellungen",
				want: "deploy/routes.yaml: no route leads to orders"},
			{name: "a route of the whole split is lost", file: "deploy/routes/compose.yaml", old: "prefix: /v1/orders",
				text: "prefix: /v1/bestellungen", want: "deploy/routes/compose.yaml: no route leads to orders"},
			{name: "a generated file is edited", file: "deploy/compose.yaml", text: "# more\n",
				want: "deploy/compose.yaml: is outdated"},
			ledgerOf("the façade of compose.yaml has no table once a module has left", decommissioned,
				"deploy/routes/monolith.yaml: is outdated"),
			{name: "a marker is lost", file: readme, old: "<!-- /events -->", text: "",
				want: "has no lines <!-- events -->"},
		},
		accepts: []plant{
			{name: "other weights", file: "deploy/routes.yaml", old: "weight: 100", text: "weight:  100"},
			{name: "prose around the parts", file: readme, text: "More about the map.\n"},
			{name: "a contract has a struct that is not an event", file: "modules/orders/ordersapi/near.go",
				text: "package ordersapi\n\n// Filter picks orders.\ntype Filter struct{ Match func() bool }"},
			{name: "a comment in a handler", file: "modules/payments/near.go",
				text: "package payments\n\n// near is here.\nconst near = 1\n"},
			{name: "a table is only in a comment", file: "migrations/payments/0002_near.sql",
				text: "-- +goose Up\n-- CREATE TABLE fees would be too early.\nSELECT 1;\n-- +goose Down\nCREATE TABLE fees (id uuid);"},
			{name: "a command that serves no module", file: "cmd/near/main.go", text: "package main\n\nfunc main() {}\n"},
		},
	}
}
