package plants

import (
	"bytes"
	"slices"

	"example.com/shop/platform/service"
)

// listening is a subscription that a module adds.
func listening(name, module, topic, want string) plant {
	return saying(name, want, func(all map[string]*service.Description) {
		all[module].Subscribes = append(all[module].Subscribes, topic)
	})
}

// reaching is a module of which another one holds a value.
func reaching(name, module, other, want string) plant {
	return saying(name, want, func(all map[string]*service.Description) {
		all[module].Reaches = append(all[module].Reaches, shop+"/modules/"+other)
	})
}

// carrying is a field that is added to orders.placed.v1.
func carrying(name string, f service.Field, want string) plant {
	return placed(name, want, func(e *service.Event) { e.Payload.Fields = append(slices.Clone(e.Payload.Fields), f) })
}

const (
	importOrders    = "import \"example.com/shop/modules/orders/ordersapi\"\n\n"
	importInventory = "import \"example.com/shop/modules/inventory/inventoryapi\"\n\n"
)

var mapViolations = []plant{
	listening("a handler that is not in the map", "notifications", "payments.refunded.v1",
		"modules/notifications: notifications listens to payments.refunded.v1, which is not"),
	listening("a module listens to its own event", "payments", "payments.refunded.v1",
		"modules/payments: payments listens to its own payments.refunded.v1"),
	{name: "an agreed subscription without a handler", file: mapFile,
		old:  "[orders.payment_due.v1, orders.cancelled.v1, orders.erased.v1]",
		text: "[orders.payment_due.v1, orders.cancelled.v1, orders.erased.v1, orders.confirmed.v1]",
		want: "says that payments listens to orders.confirmed.v1, and it does not"},
	{name: "an agreed call that does not occur", file: mapFile, old: "inventory:\n  listens_to",
		text: "inventory:\n  calls: { payments: to be sure }\n  listens_to",
		want: "says that inventory calls payments, and it does not"},
	{name: "a call without a reason", file: mapFile,
		old:  "inventory: the customer sees names and prices before the order is stored",
		text: "inventory:", want: "orders gives no reason for inventory"},
	{name: "a module that is not in the map", file: "modules/unlisted/go.mod",
		text: "module example.com/shop/modules/unlisted\n",
		want: "has no entry for the module unlisted"},
	{name: "a call that is not in the map", file: "modules/payments/price.go",
		text: "package payments\n\n" + importInventory + "var prices func() []inventoryapi.Quote",
		want: "payments calls inventory (Quote)"},
	{name: "a call past the contract", file: "modules/payments/price.go", text: `package payments

const address = "http://inventory:8080/v1/inventory/quotes"`, want: "payments calls inventory (/v1/inventory/quotes)"},
	{name: "a client in the process of a module whose code names no contract", file: "cmd/payments/stock.go",
		text: "package main\n\n" + importInventory + "var stock = inventoryapi.NewClient(\"http://127.0.0.1\", nil)",
		want: "cmd/payments/stock.go:5: payments calls inventory (NewClient)"},
	{name: "a call past the contract, from a module's own process", file: "cmd/payments/customer.go",
		text: `package main

import "net/http"

func customer(base, id string) (*http.Response, error) { return http.Get(base + "/v1/orders/" + id) }`,
		want: "cmd/payments/customer.go:5: payments calls orders (/v1/orders/)"},
	{name: "a call past the contract, by a setting", file: "modules/payments/near.go",
		text: "package payments\n\ntype near struct {\n\tURL string `env:\"STOCK_URL\" envDefault:\"http://127.0.0.1:8080/v1/inventory/products\"`\n}",
		want: "modules/payments/near.go:4: payments calls inventory (/v1/inventory/products)"},
	{name: "a client of a public route", file: "modules/inventory/inventoryapi/client.go", old: `"/v1/inventory/quotes"`, text: `"/v1/inventory/products"`,
		want: "services call /v1/inventory/products, which is not for services alone"},
	{name: "a call past the contract, of a public route", file: "modules/orders/near.go",
		text: "package orders\n\nconst near = \"http://127.0.0.1:8080/v1/inventory/products?limit=1\"",
		want: "modules/orders/near.go:3: services call /v1/inventory/products, which is not for services alone"},
	saying("customers get what a service calls", "services call /v1/inventory/quotes, which is not for services alone",
		func(all map[string]*service.Description) {
			all["inventory"].OpenAPI = bytes.ReplaceAll(all["inventory"].OpenAPI, []byte(`"service"`), []byte(`"customer"`))
		}),
	reaching("a program passes a module another's method", "payments", "inventory",
		"payments calls inventory (through what it is given)"),
	reaching("a program closes a cycle", "inventory", "orders",
		"the calls form a cycle: inventory → orders → inventory"),
	saying("a program passes a module a function of its own", "payments is given a function of main, which may call anything",
		func(all map[string]*service.Description) { all["payments"].Reaches = []string{"main"} }),
	{name: "a cycle of calls", file: "modules/inventory/orders.go", text: `package inventory

const theirs = "/v1/orders/"`, want: "the calls form a cycle: inventory → orders → inventory"},
	{name: "another's event is created", file: "modules/payments/confirm.go",
		text: "package payments\n\n" + importOrders + "var confirmed = ordersapi.Confirmed{OrderID: \"1\"}",
		want: "payments creates ordersapi.Confirmed, a fact that only orders can know"},
	{name: "an event of another is borrowed", file: "modules/payments/stock.go",
		text: "package payments\n\n" + importInventory + "type reservation struct{ fact inventoryapi.Reserved }",
		want: "payments uses inventoryapi.Reserved and does not listen to it"},
	{name: "a topic with another module's name", file: described, old: `"payments.refunded.v1"`, text: `"orders.refunded.v1"`,
		want: `paymentsapi.Refunded has the topic "orders.refunded.v1"`},
	{name: "a topic without a version", file: described, old: `"payments.refunded.v1"`, text: `"payments.refunded"`,
		want: "end it with a version"},
	saying("one topic for two events", "paymentsapi.Declined has the topic payments.captured.v1, as paymentsapi.Captured has",
		func(all map[string]*service.Description) { all["payments"].Publishes[1].Topic = "payments.captured.v1" }),
	{name: "an event that is no struct", file: described, old: `"type": "object"`, text: `"type": "array"`,
		want: "inventoryapi.Reserved is not a struct"},
	carrying("an event carries anything", service.Field{Name: "note", GoType: "interface {}"},
		"ordersapi.Placed cannot be described: note, the type interface {}"),
	carrying("an event carries raw JSON", service.Field{Name: "notes", Type: "object", Elements: &service.Field{GoType: "json.RawMessage"}},
		"ordersapi.Placed cannot be described: notes, the type json.RawMessage"),
	saying("an event outside of the contract", "modules/payments: publishes Seen, which its contract does not declare",
		func(all map[string]*service.Description) {
			all["payments"].Publishes = append(all["payments"].Publishes, service.Event{Topic: "payments.seen.v1", Type: "Seen"})
		}),
	{name: "an event that is not published", file: "modules/orders/ordersapi/shipped.go", text: `package ordersapi

// Shipped is true once the parcel has left.
type Shipped struct{ OrderID string }

// Topic is the event's wire name.
func (Shipped) Topic() string { return "orders.shipped.v1" }`,
		want: "ordersapi.Shipped is an event, and Publishes of orders does not return it"},
	{name: "a subscriber without a publisher", file: "modules/orders/saga.go",
		old:  "due := ordersapi.PaymentDue{OrderID: id, Amount: amount, PaymentToken: o.PaymentToken, Version: o.Version}",
		text: "due := ordersapi.Confirmed{OrderID: id, Total: amount, Version: o.Version}",
		want: "orders.payment_due.v1 is not published; its subscribers are payments"},
	{name: "an event without subscribers", file: mapFile,
		old: "    payments.refunded.v1: bookkeeping, which is another system", text: "    {}",
		want: "payments.refunded.v1 has no subscribers"},
	{name: "an external event with a subscriber here", file: mapFile, old: "public:\n",
		text: "public:\n    payments.captured.v1: bookkeeping\n",
		want: "lists payments.captured.v1 as public, and orders listens to it"},
	{name: "a public event that there is not", file: mapFile, old: "public:\n",
		text: "public:\n    payments.lost.v1: bookkeeping\n",
		want: "lists payments.lost.v1 as public, which payments does not publish"},
	{name: "platform names a topic", file: "platform/events/first.go", text: `package events

func first(topic string) bool { return topic == "orders.placed.v1" }`,
		want: "platform names the topic orders.placed.v1"},
	{name: "platform names all topics of a module", file: "platform/natsbus/subjects.go",
		text: "package natsbus\n\nconst subjects = `orders.>`",
		want: "platform names the topic orders.>"},
	{name: "a topic is written into the outbox by hand", file: "modules/payments/queries.sql",
		text: "-- name: Publish :exec\nINSERT INTO outbox (id, topic) VALUES ($1, 'orders.confirmed.v1');",
		want: "names the topic orders.confirmed.v1 in a string"},
	{name: "a canvas that is out of date", file: "modules/notifications/README.md", old: " · `orders.cancelled.v1`",
		text: "",
		want: "its row Listens to names orders.confirmed.v1, orders.erased.v1, orders.placed.v1; the code has orders.cancelled.v1, orders.confirmed.v1, orders.erased.v1, orders.placed.v1"},
	{name: "a list of another's events", file: "modules/payments/confirm.go",
		text: "package payments\n\n" + importOrders + "var all = []ordersapi.Cancelled{{OrderID: \"1\"}}",
		want: "payments creates ordersapi.Cancelled, a fact that only orders can know"},
	{name: "a table is added, and the canvas is as before", file: "migrations/payments/0002_fees.sql",
		text: "-- +goose Up\nCREATE TABLE fees (id uuid);", want: "its row Tables names payments; the code has fees, payments"},
	{name: "a canvas without a table", file: "modules/orders/README.md", old: "`orders`, `lines`", text: "`orders`",
		want: "its row Tables names orders; the code has lines, orders"},
}

var mapNearMisses = []plant{
	{name: "a test that creates anything", file: "modules/notifications/more_test.go",
		text: "package notifications\n\n" + importOrders + "var made = ordersapi.PaymentDue{OrderID: \"1\"}"},
	{name: "an event that gets its fields later", file: "modules/orders/saga.go",
		old:  "due := ordersapi.PaymentDue{OrderID: id, Amount: amount, PaymentToken: o.PaymentToken, Version: o.Version}",
		text: "var due ordersapi.PaymentDue\n\t\tdue.OrderID = id"},
	{name: "an address of its own", file: "cmd/payments/near.go",
		text: "package main\n\nconst near = \"http://127.0.0.1/v1/payments/docs\""},
	{name: "an event is compared with the zero value", file: "modules/payments/none.go",
		text: "package payments\n\n" + importOrders + "func none(e ordersapi.PaymentDue) bool { return e == (ordersapi.PaymentDue{}) }"},
	{name: "the money of an event that it listens to", file: "modules/payments/due.go",
		text: "package payments\n\n" + importOrders + "func amount(m ordersapi.Money) int64 { return m.Amount }"},
	{name: "the contract has a call without a caller", file: "modules/payments/paymentsapi/client.go",
		text: "package paymentsapi\n\n// Client reads receipts.\ntype Client struct{}\n\n// Receipt is one.\nfunc (Client) Receipt() Money { return Money{} }"},
	{name: "platform mentions orders in general", file: "platform/web/near.go", text: `package web

// near gets orders.placed.v1 from its caller.
const near = "orders are taken at orders.example.com, payments. Nothing else"`},
	{name: "a client of a part of an internal route", file: "modules/inventory/inventoryapi/client.go",
		old: `"/v1/inventory/quotes"`, text: `"/v1/inventory/quotes/latest?currency=EUR"`},
	{name: "a contract that nobody calls names a public route", file: "modules/payments/paymentsapi/client.go",
		text: "package paymentsapi\n\nconst list = \"/v1/payments\""},
	{name: "a sentence names another's route", file: "modules/payments/near.go",
		text: "package payments\n\nconst near = \"The order is at GET /v1/orders/{id} of the shop.\""},
	{name: "a migration that explains itself", file: "migrations/payments/0001_payments.sql",
		text: "-- A row for each orders.payment_due.v1."},
}
