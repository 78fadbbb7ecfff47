package plants

import "path"

// importing is a file that imports a package.
func importing(name, file, imported, want string) plant {
	of := path.Base(path.Dir(file))
	if path.Dir(path.Dir(file)) == "cmd" || path.Base(file) == "main.go" {
		of = "main"
	}
	return plant{name: name, file: file, want: want, text: "package " + of + "\n\nimport _ \"" + imported + "\""}
}

func init() {
	plants["imports"] = set{
		refuses: []plant{
			importing("a module uses one that publishes nothing", "modules/orders/pay.go",
				"example.com/shop/modules/notifications", "notifications has no contract: let it publish"),
			importing("a module that is gone is imported", "modules/orders/pay.go", "example.com/shop/modules/billing",
				"remove it: there is no module billing"),
			importing("a module imports another module", "modules/orders/pay.go", "example.com/shop/modules/payments",
				"modules/orders/pay.go:3: imports example.com/shop/modules/payments"),
			importing("a module's test imports another module", "modules/orders/pay_test.go",
				"example.com/shop/modules/payments", "internal to another module"),
			importing("a module imports another's migrations", "modules/orders/pay.go",
				"example.com/shop/migrations/payments", "another module's schema"),
			importing("a contract imports a library", "modules/orders/ordersapi/id.go", "github.com/google/uuid",
				"a contract"),
			importing("a contract imports another contract", "modules/orders/ordersapi/money.go",
				"example.com/shop/modules/payments/paymentsapi", "a contract"),
			{name: "the rules of an order import the database", file: "modules/orders/order.go",
				old: "import (", text: "import (\n\t\"github.com/jackc/pgx/v5\"", want: "rules"},
			importing("a module imports watermill", "modules/orders/bus.go", "github.com/ThreeDotsLabs/watermill/message",
				"PublishTx"),
			importing("a module imports the broker's client", "modules/orders/bus.go", "github.com/nats-io/nats.go",
				"PublishTx"),
			importing("a module imports another bus", "modules/orders/bus.go", "github.com/segmentio/kafka-go",
				"is not on the list of what modules may import"),
			importing("a module reaches into memory", "modules/orders/peek.go", "unsafe", "past the compiler"),
			{name: "a module links another's function", file: "modules/orders/peek.go",
				text: `package orders

//go:linkname charge example.com/shop/modules/payments.charge
func charge()`, want: "modules/orders/peek.go: has a go:linkname"},
			{name: "a contract has a package inside", file: "modules/payments/paymentsapi/receipts/client.go",
				text: "package receipts\n",
				want: "modules/payments/paymentsapi/receipts/client.go: is a package inside of a contract"},
			{name: "a contract under another name", file: "modules/payments/near.go",
				text: `package payments

import stock "example.com/shop/modules/inventory/inventoryapi"`, want: "under another name, stock"},
			{name: "a contract whose names are used bare", file: "modules/payments/near.go",
				text: `package payments

import . "example.com/shop/modules/inventory/inventoryapi"`, want: "under another name, ."},
			{name: "the clock under another name", file: "modules/orders/late.go",
				text: "package orders\n\nimport clock \"time\"\n\nvar late = clock.Second", want: "imports \"time\" under another name"},
			importing("platform imports a module's contract", "platform/events/known.go",
				"example.com/shop/modules/orders/ordersapi", "is above platform"),
			importing("a module imports devkit outside of a test", "modules/orders/dev.go",
				"example.com/shop/platform/devkit/pgtest", "devkit"),
			importing("a module uses what simulates its outside", "modules/payments/dev.go",
				"example.com/shop/modules/payments/paymentssim", "it simulates what is outside"),
			importing("a process uses what simulates its outside", "cmd/payments/dev.go",
				"example.com/shop/modules/payments/paymentssim", "it simulates what is outside"),
			importing("a module's test uses what simulates another's outside", "modules/orders/pay_test.go",
				"example.com/shop/modules/payments/paymentssim", "it simulates what is outside"),
			importing("a tool uses what simulates a module's outside", "tools/topology/also_test.go",
				"example.com/shop/modules/payments/paymentssim", "it simulates what is outside"),
			importing("what simulates the outside uses the module", "modules/payments/paymentssim/also.go",
				"example.com/shop/modules/payments", "what is outside does not know the module"),
			importing("platform imports a command", "platform/web/cmd.go", "example.com/shop/cmd/gateway",
				"is above platform"),
			importing("a module imports the shop around it", "modules/orders/top.go", "example.com/shop/tools/topology",
				"is above modules"),
			importing("a service imports another module", "cmd/orders/also.go", "example.com/shop/modules/payments",
				"cmd/orders"),
			importing("a program below a command imports modules", "cmd/jobs/reprice/main.go",
				"example.com/shop/modules/orders", "cmd/jobs/reprice is not a program of the module orders"),
			importing("a program elsewhere imports modules", "tools/backfill/main.go", "example.com/shop/modules/payments",
				"tools/backfill is not a program of the module payments"),
			{name: "a program handles events", file: "cmd/orders/also.go",
				text: "package main\n\nimport \"github.com/jackc/pgx/v5\"\n\nfunc on(tx pgx.Tx) {}", want: "a program only connects modules"},
			importing("a program computes prices", "cmd/monolith/also.go", "golang.org/x/text/currency",
				"a program only connects modules"),
			importing("a command imports a tool", "cmd/orders/also_test.go", "example.com/shop/tools/topology",
				"is above cmd"),
			importing("a tool imports the lab", "tools/topology/also.go", "example.com/shop/lab/load",
				"is above tools"),
			importing("the launchers import a module", "tools/topology/also.go", "example.com/shop/modules/payments",
				"tools/topology is not a program of the module payments"),
		},
		accepts: []plant{
			importing("a module imports another's contract", "modules/orders/near.go",
				"example.com/shop/modules/payments/paymentsapi", ""),
			importing("a module's test imports devkit", "modules/orders/near_test.go",
				"example.com/shop/platform/devkit/pgtest", ""),
			importing("a module's test uses what simulates its outside", "modules/payments/near_test.go",
				"example.com/shop/modules/payments/paymentssim", ""),
			importing("a program of tests simulates the outside", "test/near/main.go",
				"example.com/shop/modules/payments/paymentssim", ""),
			importing("what simulates the outside imports a library", "modules/payments/paymentssim/near.go",
				"github.com/emersion/go-smtp", ""),
			importing("a contract imports the standard library", "modules/orders/ordersapi/near.go", "net/http", ""),
			{name: "a package whose name differs from its folder's", file: "cmd/orders/near.go",
				text: `package main

import ordersmigrations "example.com/shop/migrations/orders"`},
			importing("a tool imports a contract", "tools/near/main.go", "example.com/shop/modules/orders/ordersapi",
				""),
			importing("a module's test imports what tests need", "modules/orders/near_test.go",
				"github.com/google/go-cmp/cmp", ""),
			importing("platform imports watermill", "platform/service/near.go",
				"github.com/ThreeDotsLabs/watermill/message", ""),
		},
	}
}
