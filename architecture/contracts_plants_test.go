package architecture

const (
	orderEvents = "modules/orders/ordersapi/events.go"
	orderRoutes = "architecture/contracts/orders.openapi.json"
)

// broken are breaking changes. An event is read from its source, a route from the committed
// document, which TestContracts compares with what the shop serves.
var broken = []plant{
	{name: "a field of an event is removed", file: orderEvents, old: "\tEmail      string `json:\"email\"`\n",
		want: "orders.placed.v1: removed the required property `email`"},
	{name: "a field of an event is renamed", file: orderEvents, old: `json:"email"`, text: `json:"mail"`,
		want: "declare PlacedV2 with the topic \"orders.placed.v2\" beside it in modules/orders/ordersapi/events.go, and publish both, in modules/orders/place.go:"},
	{name: "a field of an event has another type", file: orderEvents, old: "\tVersion    int64 ",
		text: "\tVersion    string",
		want: "`version` property's `type/format` changed"},
	{name: "a field of an event may be missing", file: orderEvents, old: `json:"email"`, text: `json:"email,omitempty"`,
		want: "the property `email` became optional"},
	{name: "a field of an event may be null", file: orderEvents, old: "Email      string", text: "Email      *string",
		want: "the property `email` became nullable"},
	{name: "a field inside an event is renamed", file: orderEvents, old: `json:"sku"`, text: `json:"product"`,
		want: "removed the required property `lines/items/sku`"},
	{name: "a list of an event becomes one element", file: orderEvents, old: "Lines      []Line",
		text: "Lines      Line", want: "`lines` property's"},
	{name: "a topic is renamed", file: orderEvents, old: `"orders.placed.v1"`, text: `"orders.created.v1"`,
		want: "orders.placed.v1.schema.json: releases orders.placed.v1, which no contract has any more"},
	{name: "a v2 replaces its v1", file: orderEvents, old: `"orders.placed.v1"`, text: `"orders.placed.v2"`,
		want: "publish its replacement beside it as a new topic, orders.placed.v2"},
	{name: "a contract is deleted", file: "modules/payments/paymentsapi/", want: "releases payments.refunded.v1"},
	{name: "a module's routes are removed", file: "architecture/contracts/payments.openapi.json",
		want: "releases the routes of payments"},
	{name: "a route is removed", file: orderRoutes, old: `"/v1/orders/{id}/cancel"`, text: `"/v1/orders/{id}/withdraw"`,
		want: "breaks the released orders: POST /v1/orders/{id}/cancel: api path removed"},
	{name: "a field of an answer is removed", file: orderRoutes, old: `"created_at": {`, text: `"placed_at": {`,
		want: "`created_at`"},
	{name: "an optional field of an answer is removed", file: orderRoutes, old: `"reason": {`, text: `"why": {`,
		want: "`reason`"},
	{name: "a request requires another field", file: orderRoutes,
		old:  "        },\n        \"required\": [\n          \"email\",\n",
		text: ", \"phone\": {\"type\": \"string\"}},\n\"required\": [\"phone\", \"email\",\n",
		want: "added the new required request property `phone`"},
	{name: "a parameter becomes required", file: orderRoutes, old: "\"name\": \"cursor\",",
		text: "\"name\": \"cursor\", \"required\": true,", want: "`cursor`"},
	{name: "a request may be shorter", file: orderRoutes, old: `"maxLength": 254`, text: `"maxLength": 100`,
		want: "maxLength was decreased"},
	{name: "an answer has another status", file: orderRoutes, old: `"awaiting_payment",`,
		text: `"awaiting_payment", "packed",`,
		want: "`packed`"},
	{name: "a route needs another role", file: orderRoutes, old: "\"bearer\": [\n              \"customer\"",
		text: "\"bearer\": [\n              \"staff\"",
		want: "modules/orders/http.go, func Routes"},
	{name: "an answer is another kind of JSON", file: orderRoutes,
		old:  "\"content\": {\n              \"application/json\": {",
		text: "\"content\": {\n              \"application/hal+json\": {",
		want: "application/hal+json"},
	{name: "a list has a smaller default", file: orderRoutes, old: `"default": 20`, text: `"default": 10`,
		want: "`limit`"},
}

// kept are compatible changes.
var kept = []plant{
	{name: "an event has another field", file: orderEvents, old: "\tEmail ",
		text: "\tChannel string `json:\"channel\"`\n\tEmail "},
	{name: "a struct in an event has another optional field", file: orderEvents, old: "\tSKU ",
		text: "\tNote *string `json:\"note,omitempty\"`\n\tSKU "},
	{name: "an event's words change", file: orderEvents, old: "is true once the customer's order is stored",
		text: "is true once the order is stored"},
	{name: "a topic is concatenated, which contextmap reports", file: orderEvents, old: `"orders.placed.v1"`,
		text: `"orders." + "placed.v1"`},
	{name: "another reason", file: orderEvents, old: "Reason is out_of_stock, declined, expired or customer",
		text: "Reason is out_of_stock, declined, expired, fraud or customer"},
	{name: "another topic", file: "modules/orders/ordersapi/shipped.go", text: shipped},
	{name: "a v2 beside its v1", file: orderEvents, old: "// Line is",
		text: "// PlacedV2 is Placed with a buyer.\ntype PlacedV2 struct {\n\tBuyer Line `json:\"buyer\"`\n}\n\n" +
			"// Topic is the event's wire name.\nfunc (PlacedV2) Topic() string { return \"orders.placed.v2\" }\n\n" +
			"// Line is"},
	{name: "another route", file: orderRoutes, old: "\"paths\": {\n",
		text: "\"paths\": {\n\"/v1/orders/{id}/parcels\": {\"get\": {\"responses\": {\"200\": {\"description\": \"OK\"}}}},\n"},
	{name: "an answer has another field", file: orderRoutes, old: `"created_at": {`,
		text: `"shipped_at": {"type": "string"}, "created_at": {`},
	{name: "a request has another optional field", file: orderRoutes, old: `"payment_token": {`,
		text: `"voucher": {"type": "string"}, "payment_token": {`},
	{name: "a request may be longer", file: orderRoutes, old: `"maxLength": 254`, text: `"maxLength": 300`},
	{name: "a route is explained in other words", file: orderRoutes, old: "List my orders, newest first",
		text: "List my orders"},
	{name: "another contract", file: "architecture/contracts/shipping.openapi.json", text: "{}"},
}
