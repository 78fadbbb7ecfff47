package plants

import (
	"encoding/json"
	"slices"

	"example.com/shop/platform/service"
)

// saying is a change of what the modules say of themselves.
func saying(name, want string, change func(all map[string]*service.Description)) plant {
	return plant{name: name, want: want, file: described, edit: func(text string) string {
		var said []*service.Description
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			panic(err)
		}
		all := map[string]*service.Description{}
		for _, d := range said {
			all[d.Module] = d
		}
		change(all)
		changed, err := json.MarshalIndent(said, "", "  ")
		if err != nil {
			panic(err)
		}
		return string(changed)
	}}
}

// placed is a change of the event orders.placed.v1.
func placed(name, want string, change func(e *service.Event)) plant {
	return saying(name, want, func(all map[string]*service.Description) { change(&all["orders"].Publishes[0]) })
}

// placedField is a change of one of its fields.
func placedField(name, want, field string, change func(f *service.Field)) plant {
	return placed(name, want, func(e *service.Event) {
		change(&e.Payload.Fields[slices.IndexFunc(e.Payload.Fields, func(f service.Field) bool { return f.Name == field })])
	})
}

// routed is a change of the document of the routes of orders.
func routed(name, old, text, want string) plant {
	return plant{name: name, file: described, want: want, within: `"module": "orders"`, old: old, text: text}
}

const orderEvents = "modules/orders/ordersapi/events.go"

// broken are breaking changes.
var broken = []plant{
	placed("a field of an event is removed", "orders.placed.v1: removed the required property `email`",
		func(e *service.Event) { e.Payload.Fields = slices.Delete(e.Payload.Fields, 2, 3) }),
	placedField("a field of an event is renamed",
		"declare PlacedV2 with the topic \"orders.placed.v2\" beside it in modules/orders/ordersapi/events.go, and publish both, in modules/orders/place.go:",
		"email", func(f *service.Field) { f.Name = "mail" }),
	placedField("a field of an event has another type", "`version` property's `type/format` changed",
		"version", func(f *service.Field) { f.Type, f.Format = "string", "" }),
	placedField("a field of an event may be missing", "the property `email` became optional",
		"email", func(f *service.Field) { f.Optional = true }),
	placedField("a field of an event may be null", "the property `email` became nullable",
		"email", func(f *service.Field) { f.Nullable = true }),
	placedField("a field inside an event is renamed", "removed the required property `lines/items/sku`",
		"lines", func(f *service.Field) { f.Elements.Fields[0].Name = "product" }),
	placedField("a list of an event becomes one element", "`lines` property's",
		"lines", func(f *service.Field) { f.Type, f.Fields, f.Elements = "object", f.Elements.Fields, nil }),
	placed("a topic is renamed", "orders.placed.v1.schema.json: releases orders.placed.v1, which no contract has any more",
		func(e *service.Event) { e.Topic = "orders.created.v1" }),
	placed("a v2 replaces its v1", "publish its replacement beside it as a new topic, orders.placed.v2",
		func(e *service.Event) { e.Topic = "orders.placed.v2" }),
	saying("a module publishes nothing any more", "releases payments.refunded.v1",
		func(all map[string]*service.Description) { all["payments"].Publishes = nil }),
	saying("a module's routes are removed", "releases the routes of payments",
		func(all map[string]*service.Description) { all["payments"].Module = "billing" }),
	routed("a route is removed", `"/v1/orders/{id}/cancel"`,
		`"/v1/orders/{id}/withdraw"`, "breaks the released orders: POST /v1/orders/{id}/cancel: API path removed"),
	routed("a field of an answer is removed", `"created_at": {`,
		`"placed_at": {`, "`created_at`"),
	routed("an optional field of an answer is removed", `"reason": {`,
		`"why": {`, "`reason`"),
	routed("a request requires another field", "            },\n            \"required\": [\n              \"email\",\n",
		", \"phone\": {\"type\": \"string\"}},\n\"required\": [\"phone\", \"email\",\n", "added the new required request property `phone`"),
	routed("a parameter becomes required", "\"name\": \"cursor\",",
		"\"name\": \"cursor\", \"required\": true,", "`cursor`"),
	routed("a request may be shorter", `"maxLength": 254`,
		`"maxLength": 100`, "maxLength was decreased"),
	routed("an answer has another status", `"awaiting_payment",`,
		`"awaiting_payment", "packed",`, "`packed`"),
	routed("a route needs another role", "\"bearer\": [\n                  \"customer\"",
		"\"bearer\": [\n              \"staff\"", "modules/orders/http.go, func Routes"),
	routed("an answer is another kind of JSON", "\"content\": {\n                  \"application/json\": {",
		"\"content\": {\n              \"application/hal+json\": {", "application/hal+json"),
	routed("a list has a smaller default", `"default": 20`,
		`"default": 10`, "`limit`"),
}

// kept are compatible changes.
var kept = []plant{
	placed("an event has another field", "", func(e *service.Event) {
		e.Payload.Fields = append(e.Payload.Fields, service.Field{Name: "channel", Type: "string"})
	}),
	placedField("a struct in an event has another optional field", "", "lines", func(f *service.Field) {
		f.Elements.Fields = append(f.Elements.Fields, service.Field{Name: "note", Type: "string", Optional: true})
	}),
	{name: "an event's words change", file: orderEvents, old: "is true once the customer's order is stored",
		text: "is true once the order is stored"},
	{name: "another reason", file: orderEvents, old: "Reason is out_of_stock, declined, expired or customer",
		text: "Reason is out_of_stock, declined, expired, fraud or customer"},
	saying("another topic", "", func(all map[string]*service.Description) {
		v2 := all["orders"].Publishes[0]
		v2.Topic, v2.Type = "orders.placed.v2", "PlacedV2"
		all["orders"].Publishes = append(all["orders"].Publishes, v2)
	}),
	routed("another route", "\"paths\": {\n",
		"\"paths\": {\n\"/v1/orders/{id}/parcels\": {\"get\": {\"responses\": {\"200\": {\"description\": \"OK\"}}}},\n", ""),
	routed("an answer has another field", `"created_at": {`,
		`"shipped_at": {"type": "string"}, "created_at": {`, ""),
	routed("a request has another optional field", `"payment_token": {`,
		`"voucher": {"type": "string"}, "payment_token": {`, ""),
	routed("a request may be longer", `"maxLength": 254`,
		`"maxLength": 300`, ""),
	routed("a route is explained in other words", "List my orders, newest first",
		"List my orders", ""),
}
