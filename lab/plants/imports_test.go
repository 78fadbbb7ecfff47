package plants

func init() {
	plants["imports"] = set{
		refuses: []plant{
			{name: "a module uses one that publishes nothing", file: "modules/orders/pay.go",
				text: `package orders

import _ "example.com/shop/modules/notifications"`, want: "notifications has no contract: let it publish"},
			{name: "a module that is gone is imported", file: "modules/orders/pay.go",
				text: `package orders

import _ "example.com/shop/modules/billing"`, want: "remove it: there is no module billing"},
			{name: "a module imports another module", file: "modules/orders/pay.go",
				text: `package orders

import _ "example.com/shop/modules/payments"`,
				want: "modules/orders/pay.go:3: imports example.com/shop/modules/payments"},
			{name: "a module's test imports another module", file: "modules/orders/pay_test.go",
				text: `package orders

import _ "example.com/shop/modules/payments"`, want: "internal to another module"},
			{name: "a module imports another's migrations", file: "modules/orders/pay.go",
				text: `package orders

import _ "example.com/shop/migrations/payments"`, want: "another module's schema"},
			{name: "a contract imports a library", file: "modules/orders/ordersapi/id.go",
				text: `package ordersapi

import _ "github.com/google/uuid"`, want: "a contract"},
			{name: "a contract imports another contract", file: "modules/orders/ordersapi/money.go",
				text: `package ordersapi

import _ "example.com/shop/modules/payments/paymentsapi"`, want: "a contract"},
			{name: "the rules of an order import the database", file: "modules/orders/order.go",
				old: "import (", text: "import (\n\t\"github.com/jackc/pgx/v5\"", want: "rules"},
			{name: "a module imports watermill", file: "modules/orders/bus.go",
				text: `package orders

import _ "github.com/ThreeDotsLabs/watermill/message"`, want: "PublishTx"},
			{name: "a module imports the broker's client", file: "modules/orders/bus.go",
				text: `package orders

import _ "github.com/nats-io/nats.go"`, want: "PublishTx"},
			{name: "a module imports another bus", file: "modules/orders/bus.go",
				text: `package orders

import _ "github.com/segmentio/kafka-go"`, want: "is not on the list of what modules may import"},
			{name: "a module reaches into memory", file: "modules/orders/peek.go",
				text: `package orders

import _ "unsafe"`, want: "past the compiler"},
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
			{name: "platform imports a module's contract", file: "platform/events/known.go",
				text: `package events

import _ "example.com/shop/modules/orders/ordersapi"`, want: "is above platform"},
			{name: "a module imports devkit outside of a test", file: "modules/orders/dev.go",
				text: `package orders

import _ "example.com/shop/platform/devkit/pgtest"`, want: "devkit"},
			{name: "a module uses what simulates its outside", file: "modules/payments/dev.go",
				text: `package payments

import _ "example.com/shop/modules/payments/paymentssim"`, want: "it simulates what is outside"},
			{name: "a process uses what simulates its outside", file: "cmd/payments/dev.go",
				text: `package main

import _ "example.com/shop/modules/payments/paymentssim"`, want: "it simulates what is outside"},
			{name: "a module's test uses what simulates another's outside", file: "modules/orders/pay_test.go",
				text: `package orders

import _ "example.com/shop/modules/payments/paymentssim"`, want: "it simulates what is outside"},
			{name: "a tool uses what simulates a module's outside", file: "tools/topology/also_test.go",
				text: `package topology

import _ "example.com/shop/modules/payments/paymentssim"`, want: "it simulates what is outside"},
			{name: "what simulates the outside uses the module", file: "modules/payments/paymentssim/also.go",
				text: `package paymentssim

import _ "example.com/shop/modules/payments"`, want: "what is outside does not know the module"},
			{name: "platform imports a command", file: "platform/web/cmd.go",
				text: `package web

import _ "example.com/shop/cmd/gateway"`, want: "is above platform"},
			{name: "a module imports the shop around it", file: "modules/orders/top.go",
				text: `package orders

import _ "example.com/shop/tools/topology"`, want: "is above modules"},
			{name: "a service imports another module", file: "cmd/orders/also.go",
				text: `package main

import _ "example.com/shop/modules/payments"`, want: "cmd/orders"},
			{name: "a program below a command imports modules", file: "cmd/jobs/reprice/main.go",
				text: `package main

import _ "example.com/shop/modules/orders"`, want: "cmd/jobs/reprice is not a program of the module orders"},
			{name: "a program elsewhere imports modules", file: "tools/backfill/main.go",
				text: `package main

import _ "example.com/shop/modules/payments"`, want: "tools/backfill is not a program of the module payments"},
			{name: "a program handles events", file: "cmd/orders/also.go",
				text: "package main\n\nimport \"github.com/jackc/pgx/v5\"\n\nfunc on(tx pgx.Tx) {}", want: "a program only connects modules"},
			{name: "a program computes prices", file: "cmd/monolith/also.go",
				text: "package main\n\nimport _ \"golang.org/x/text/currency\"", want: "a program only connects modules"},
			{name: "a command imports a tool", file: "cmd/orders/also_test.go",
				text: `package main

import _ "example.com/shop/tools/topology"`, want: "is above cmd"},
			{name: "a tool imports the lab", file: "tools/topology/also.go",
				text: `package topology

import _ "example.com/shop/lab/load"`, want: "is above tools"},
			{name: "the launchers import a module", file: "tools/topology/also.go",
				text: `package topology

import _ "example.com/shop/modules/payments"`, want: "tools/topology is not a program of the module payments"},
		},
		accepts: []plant{
			{name: "a module imports another's contract", file: "modules/orders/near.go",
				text: `package orders

import _ "example.com/shop/modules/payments/paymentsapi"`},
			{name: "a module's test imports devkit", file: "modules/orders/near_test.go",
				text: `package orders

import _ "example.com/shop/platform/devkit/pgtest"`},
			{name: "a module's test uses what simulates its outside", file: "modules/payments/near_test.go",
				text: `package payments

import _ "example.com/shop/modules/payments/paymentssim"`},
			{name: "a program of tests simulates the outside", file: "test/near/main.go",
				text: `package main

import _ "example.com/shop/modules/payments/paymentssim"`},
			{name: "what simulates the outside imports a library", file: "modules/payments/paymentssim/near.go",
				text: `package paymentssim

import _ "github.com/emersion/go-smtp"`},
			{name: "a contract imports the standard library", file: "modules/orders/ordersapi/near.go",
				text: `package ordersapi

import _ "net/http"`},
			{name: "a package whose name differs from its folder's", file: "cmd/orders/near.go",
				text: `package main

import ordersmigrations "example.com/shop/migrations/orders"`},
			{name: "a tool imports a contract", file: "tools/near/main.go",
				text: `package main

import _ "example.com/shop/modules/orders/ordersapi"`},
			{name: "a module's test imports what tests need", file: "modules/orders/near_test.go",
				text: `package orders

import _ "github.com/google/go-cmp/cmp"`},
			{name: "platform imports watermill", file: "platform/service/near.go",
				text: `package service

import _ "github.com/ThreeDotsLabs/watermill/message"`},
		},
	}
}
