package plants

func init() {
	plants["requires"] = set{
		refuses: []plant{
			{name: "a module requires another", file: "modules/orders/go.mod", old: "require (",
				text: "require (\n\texample.com/shop/modules/payments v0.0.0",
				want: "modules/orders/go.mod: requires example.com/shop/modules/payments"},
			{name: "a module requires the shop around it", file: "modules/orders/go.mod",
				text: "require example.com/shop v0.0.0",
				want: "requires example.com/shop, which"},
			{name: "a contract requires another", file: "modules/orders/ordersapi/go.mod",
				text: "require example.com/shop/modules/payments/paymentsapi v0.0.0",
				want: "requires example.com/shop/modules/payments/paymentsapi"},
			{name: "a requirement that nothing needs", file: "modules/payments/go.mod",
				text: "require example.com/library v1.0.0", want: "requires example.com/library, which nothing imports"},
			{name: "a shared kernel with another module path", file: "kernel/go.mod", text: "module example.com/kernel\n",
				want: "kernel/go.mod: does not have the module path example.com/shop/kernel"},
		},
		accepts: []plant{
			{name: "a module requires a contract", file: "modules/payments/go.mod",
				text: "require example.com/shop/modules/inventory/inventoryapi v0.0.0 // indirect"},
			{name: "a module requires a library of a library", file: "modules/payments/go.mod",
				text: "require example.com/library v1.0.0 // indirect"},
			{name: "a comment", file: "modules/payments/go.mod",
				text: "// example.com/shop/modules/orders v0.0.0 is not required here.\n"},
		},
	}
}
