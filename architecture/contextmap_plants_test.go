package architecture

// goFile returns a Go file with the imports of most plants.
func goFile(pkg, imports, body string) string {
	return "package " + pkg +
		"\n\nimport (\n\t\"context\"\n\n\t\"github.com/jackc/pgx/v5\"\n\n\t\"example.com/shop/platform/events\"\n" +
		imports + ")\n\n" + body
}

const (
	importOrders    = "\t\"example.com/shop/modules/orders/ordersapi\"\n"
	importInventory = "\t\"example.com/shop/modules/inventory/inventoryapi\"\n"
	importPayments  = "\t\"example.com/shop/modules/payments/paymentsapi\"\n"
)

var mapViolations = []plant{
	{name: "a handler that is not in the map", file: "modules/notifications/more.go",
		text: goFile("notifications", importPayments, `
func (m *Module) More() events.Handler { return events.On(m.onRefunded) }

func (m *Module) onRefunded(ctx context.Context, tx pgx.Tx, e paymentsapi.Refunded) error { return nil }`),
		want: "modules/notifications/more.go:13: notifications listens to payments.refunded.v1"},
	{name: "a module listens to its own event", file: "modules/payments/more.go",
		text: goFile("payments", importPayments, `
func (m *Module) More() events.Handler { return events.On(m.onRefunded) }

func (m *Module) onRefunded(ctx context.Context, tx pgx.Tx, e paymentsapi.Refunded) error { return nil }`),
		want: "modules/payments/more.go:13: payments listens to its own payments.refunded.v1"},
	{name: "a function as a handler", file: "modules/notifications/more.go",
		text: goFile("notifications", importPayments, `
var more = events.On(func(ctx context.Context, tx pgx.Tx, e paymentsapi.Refunded) error { return nil })`),
		want: "notifications listens to payments.refunded.v1"},
	{name: "a handler of a named type", file: "modules/payments/more.go",
		text: goFile("payments", importInventory, `
type fact = inventoryapi.Rejected

func more(h func(ctx context.Context, tx pgx.Tx, e *fact) error) events.Handler { return events.On[fact](h) }`),
		want: "payments listens to inventory.rejected.v1"},
	{name: "a handler hidden in a wrapper", file: "modules/notifications/more.go",
		text: goFile("notifications", importPayments, `
func logged[E events.Event](h func(context.Context, pgx.Tx, E) error) events.Handler { return events.On(h) }`),
		want: "a handler for an event that cannot be determined"},
	{name: "an agreed subscription without a handler", file: mapFile,
		old:  "[orders.payment_due.v1, orders.cancelled.v1]",
		text: "[orders.payment_due.v1, orders.cancelled.v1, orders.confirmed.v1]",
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
		text: goFile("payments", importInventory, `
type prices interface {
	Quote(ctx context.Context, skus []string) ([]inventoryapi.Quote, error)
}`), want: "payments calls inventory (Quote)"},
	{name: "a call past the contract", file: "modules/payments/price.go", text: `package payments

const address = "http://inventory:8080/v1/inventory/quotes"`, want: "payments calls inventory (/v1/inventory)"},
	{name: "a client in the process of a module whose code names no contract", file: "cmd/payments/stock.go",
		text: `package main

import "example.com/shop/modules/inventory/inventoryapi"

var stock = inventoryapi.NewClient("http://127.0.0.1", nil)`,
		want: "cmd/payments/stock.go:5: payments calls inventory (NewClient)"},
	{name: "a call past the contract, from a module's own process", file: "cmd/payments/customer.go",
		text: `package main

import "net/http"

func customer(base, id string) (*http.Response, error) { return http.Get(base + "/v1/orders/" + id) }`,
		want: "cmd/payments/customer.go:5: payments calls orders (/v1/orders)"},
	{name: "a call past the contract, by a setting", file: "modules/payments/near.go",
		text: "package payments\n\ntype near struct {\n\tURL string `env:\"STOCK_URL\" envDefault:\"http://127.0.0.1:8080/v1/inventory/products\"`\n}",
		want: "modules/payments/near.go:4: payments calls inventory (/v1/inventory)"},
	{name: "the monolith passes a module another's method", file: "cmd/monolith/main.go",
		old:  "payments.New(cfg.Payments, db,",
		text: "payments.New(cfg.Payments, stock.Quote, db,",
		want: "payments calls inventory (through what cmd/monolith passes to it)"},
	{name: "the monolith closes a cycle", file: "cmd/monolith/main.go", old: "return orders.New(",
		text: "m := orders.New(nil)\n\t\tstock.Watch(m)\n\t\treturn orders.New(",
		want: "the calls form a cycle: inventory → orders → inventory"},
	{name: "a cycle of calls", file: "modules/inventory/orders.go", text: `package inventory

const theirs = "/v1/orders/"`, want: "the calls form a cycle: inventory → orders → inventory"},
	{name: "another's event is published", file: "modules/payments/confirm.go", text: goFile("payments", importOrders, `
func confirm(ctx context.Context, outbox *events.Outbox, tx pgx.Tx, id string) error {
	return outbox.PublishTx(ctx, tx, ordersapi.Confirmed{OrderID: id})
}`), want: "payments creates ordersapi.Confirmed, a fact that only orders can know"},
	{name: "a delivered event is published again", file: "modules/payments/events.go", old: "if err := checkDue(",
		text: "_ = m.outbox.PublishTx(ctx, tx, d.Event)\n\tif err := checkDue(",
		want: "the published event cannot be determined"},
	{name: "another's event is published inside of a struct", file: "modules/payments/events.go",
		old:  "if err := checkDue(",
		text: "type enriched struct {\n\tordersapi.PaymentDue\n\tRisk int\n}\n\t_ = m.outbox.PublishTx(ctx, tx, enriched{e, 1})\n\tif err := checkDue(",
		want: "the published event cannot be determined, so the events of payments are not known"},
	{name: "another's event is embedded", file: "modules/payments/more.go", text: goFile("payments", importOrders, `
type enriched struct {
	*ordersapi.PaymentDue
	risk int
}`), want: "modules/payments/more.go:14: a struct that embeds ordersapi.PaymentDue"},
	{name: "anything is published", file: "modules/payments/more.go", text: goFile("payments", "", `
func relay[E events.Event](ctx context.Context, outbox *events.Outbox, tx pgx.Tx, e E) error { return outbox.PublishTx(ctx, tx, e) }`),
		want: "modules/payments/more.go:12: the published event cannot be determined"},
	{name: "a field's value is published", file: "modules/payments/more.go", text: goFile("payments", "", `
type job struct{ due events.Event }

func (j job) publish(ctx context.Context, outbox *events.Outbox, tx pgx.Tx) error { return outbox.PublishTx(ctx, tx, j.due) }`),
		want: "modules/payments/more.go:14: the published event cannot be determined"},
	{name: "PublishTx as a value", file: "modules/payments/more.go", text: goFile("payments", "", `
var publish = (*events.Outbox).PublishTx`), want: "PublishTx is not called directly"},
	{name: "a function returns another's event", file: "modules/orders/saga.go", old: "return ordersapi.Confirmed{",
		text: "return o.Fact\n\t\treturn ordersapi.Confirmed{",
		want: "the published event cannot be determined"},
	{name: "an event of another is borrowed", file: "modules/payments/stock.go",
		text: goFile("payments", importInventory, `
type reservation struct{ fact inventoryapi.Reserved }`),
		want: "payments uses inventoryapi.Reserved and listens to no event with it"},
	{name: "a topic with another module's name", file: "modules/payments/paymentsapi/events.go",
		old: `"payments.refunded.v1"`, text: `"orders.refunded.v1"`,
		want: `paymentsapi.Refunded has the topic "orders.refunded.v1"`},
	{name: "a topic without a version", file: "modules/payments/paymentsapi/events.go", old: `"payments.refunded.v1"`,
		text: `"payments.refunded"`,
		want: "end it with a version"},
	{name: "one topic for two events", file: "modules/payments/paymentsapi/events.go", old: `"payments.declined.v1"`,
		text: `"payments.captured.v1"`,
		want: "paymentsapi.Declined has the topic payments.captured.v1, as paymentsapi.Captured has"},
	{name: "a topic that is concatenated", file: "modules/payments/paymentsapi/events.go",
		old: `"payments.refunded.v1"`, text: `prefix + "refunded.v1"`,
		want: "a topic that is not a literal"},
	{name: "an event that is not published", file: "modules/orders/ordersapi/shipped.go", text: `package ordersapi

// Shipped is true once the parcel has left.
type Shipped struct{ OrderID string }

// Topic is the event's wire name.
func (Shipped) Topic() string { return "orders.shipped.v1" }`,
		want: "orders.shipped.v1 is not published; it has no subscribers"},
	{name: "a subscriber without a publisher", file: "modules/orders/saga.go", old: "ordersapi.PaymentDue{",
		text: "paymentDue{",
		want: "orders.payment_due.v1 is not published; "},
	{name: "an event without subscribers", file: mapFile,
		old: "    payments.refunded.v1: bookkeeping, which is outside of the shop", text: "    {}",
		want: "payments.refunded.v1 has no subscribers"},
	{name: "an external event with a subscriber here", file: mapFile, old: "public:\n",
		text: "public:\n    payments.captured.v1: bookkeeping\n",
		want: "lists payments.captured.v1 as public, and orders listens to it"},
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
		want: "its row Listens to names orders.confirmed.v1, orders.placed.v1; the code has orders.cancelled.v1, orders.confirmed.v1, orders.placed.v1"},
	{name: "a canvas without a table", file: "modules/orders/README.md", old: "`orders`, `lines`", text: "`orders`",
		want: "its row Tables names orders; the code has lines, orders"},
}

var mapNearMisses = []plant{
	{name: "a test that listens to anything", file: "modules/notifications/more_test.go",
		text: goFile("notifications", importPayments, `
var more = events.On(func(ctx context.Context, tx pgx.Tx, e paymentsapi.Refunded) error { return nil })

var made = paymentsapi.Refunded{OrderID: "1"}`)},
	{name: "the monolith passes a module what no module made", file: "cmd/monolith/main.go",
		old:  "payments.New(cfg.Payments, db,",
		text: "payments.New(cfg.Payments, s, db,"},
	{name: "an address of its own", file: "cmd/payments/near.go",
		text: "package main\n\nconst near = \"http://127.0.0.1/v1/payments/docs\""},
	{name: "an agreed handler that is a function", file: "modules/payments/events.go",
		old:  "events.OnBatch(m.onPaymentDue)",
		text: "events.OnBatch(func(ctx context.Context, tx pgx.Tx, b []events.Delivery[ordersapi.PaymentDue]) error { return m.onPaymentDue(ctx, tx, b) })"},
	{name: "events that are published in a loop", file: "modules/orders/near.go", text: goFile("orders", importOrders, `
func publishAll(ctx context.Context, outbox *events.Outbox, tx pgx.Tx, id string) error {
	facts := []events.Event{ordersapi.Confirmed{OrderID: id}, &ordersapi.Placed{OrderID: id}}
	for _, fact := range facts {
		if err := outbox.PublishTx(ctx, tx, fact); err != nil {
			return err
		}
	}
	return nil
}`)},
	{name: "an event that a method returns", file: "modules/orders/near.go", text: goFile("orders", importOrders, `
func (m *Module) nearFact(id string) events.Event {
	fact := ordersapi.Confirmed{}
	fact.OrderID = id
	return fact
}

func (m *Module) publish(ctx context.Context, outbox *events.Outbox, tx pgx.Tx, id string) error { return outbox.PublishTx(ctx, tx, m.nearFact(id)) }`)},
	{name: "an agreed handler of a named type", file: "modules/payments/events.go",
		old:  "func (m *Module) onPaymentDue(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.PaymentDue])",
		text: "type fact = ordersapi.PaymentDue\n\nfunc (m *Module) onPaymentDue(ctx context.Context, tx pgx.Tx, batch []events.Delivery[fact])"},
	{name: "an event is compared with the zero value", file: "modules/payments/none.go",
		text: goFile("payments", importOrders, `
func none(e ordersapi.PaymentDue) bool { return e == (ordersapi.PaymentDue{}) }`)},
	{name: "the money of an event that it listens to", file: "modules/payments/due.go",
		text: goFile("payments", importOrders, `
func amount(m ordersapi.Money) int64 { return m.Amount }`)},
	{name: "an event gets a field", file: "modules/orders/ordersapi/events.go", old: "\tEmail      string",
		text: "\tPhone      string `json:\"phone\"`\n\tEmail      string"},
	{name: "the contract has a call without a caller", file: "modules/payments/paymentsapi/client.go",
		text: "package paymentsapi\n\n// Client reads receipts.\ntype Client struct{}\n\n// Receipt is one.\nfunc (Client) Receipt() Money { return Money{} }"},
	{name: "platform mentions orders in general", file: "platform/web/near.go", text: `package web

// near gets orders.placed.v1 from its caller.
const near = "orders are taken at orders.example.com, payments. Nothing else"`},
	{name: "a sentence names another's route", file: "modules/payments/near.go",
		text: "package payments\n\nconst near = \"The order is at GET /v1/orders/{id} of the shop.\""},
	{name: "a migration that explains itself", file: "migrations/payments/0001_payments.sql",
		text: "-- A row for each orders.payment_due.v1."},
}
