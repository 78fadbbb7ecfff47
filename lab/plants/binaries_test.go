package plants

import "strings"

func init() {
	plants["binaries"] = set{
		refuses: []plant{
			{name: "a service links another module through a package in between", file: "cmd/orders/also.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/payments\"",
				want: "cmd/orders: links modules/payments"},
			{name: "the façade links a module", file: "cmd/gateway/also.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/orders\"",
				want: "cmd/gateway: links modules/orders"},
			{name: "the monolith links the broker's server", file: "cmd/monolith/also.go",
				text: "package main\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"", want: "for development"},
			{name: "a service links what simulates its outside", file: "cmd/payments/also.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/payments/paymentssim\"",
				want: "cmd/payments: links modules/payments/paymentssim, which is for development"},
			{name: "a service links the launchers through platform", file: "platform/service/also.go",
				text: "package service\n\nimport _ \"example.com/shop/tools/topology\"",
				want: "cmd/payments: links tools/topology through platform/service"},
			{name: "a program outside of cmd", file: "platform/web/ask/main.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/orders\"",
				want: "platform/web/ask: links modules/orders"},
			{name: "a program within a program", file: "cmd/orders/import/main.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/orders\"",
				want: "cmd/orders/import: links modules/orders"},
			{name: "the monolith links what was decommissioned", file: ledgerFile, whole: true, text: decommissioned,
				given: []plant{{file: "cmd/monolith/also.go",
					text: "package main\n\nimport _ \"example.com/shop/modules/notifications\""}}, // which today's may not link
				want: "cmd/monolith: links modules/notifications and does not run notifications"},
			{name: "the monolith names what was decommissioned", file: ledgerFile, whole: true, text: decommissioned,
				given: []plant{{file: "cmd/monolith/also.go", text: "package main\n\nvar also = []string{\"notifications\"}"}},
				want:  "cmd/monolith/also.go:3: names notifications, which the monolith no longer runs"},
			{name: "the monolith lists a call by what was decommissioned", file: ledgerFile, whole: true, text: decommissioned,
				given: []plant{{file: "cmd/monolith/also.go", text: "package main\n\nvar calls = [][2]string{{\"orders\", \"notifications\"}, {\"notifications\", \"orders\"}}"}},
				want:  "cmd/monolith/also.go:3: lists a call by notifications"},
			{name: "a program grows", file: "cmd/orders/also.go", text: "package main\n" + strings.Repeat("var _ = 0\n", 100),
				want: "cmd/orders: has"},
			{name: "the HTTP server knows PostgreSQL", file: "platform/web/also.go",
				text: "package web\n\nimport _ \"example.com/shop/platform/jobs\"",
				want: "platform/web: links github.com/jackc/pgx/v5 through platform/jobs"},
			{name: "every process has the broker's client", file: "platform/service/also.go",
				text: "package service\n\nimport _ \"example.com/shop/platform/natsbus\"",
				want: "platform/service: links platform/natsbus through platform/service"},
			{name: "the monolith does not link a module", file: "modules/unlinked/go.mod",
				text: "module example.com/shop/modules/unlinked",
				want: "cmd/monolith: does not link the module unlinked"},
		},
		accepts: []plant{
			{name: "the monolith calls what was decommissioned", file: ledgerFile, whole: true,
				text: strings.ReplaceAll(decommissioned, "notifications", "ferries"), // which it does not link
				given: []plant{
					{file: "modules/ferries/go.mod", text: "module example.com/shop/modules/ferries"},
					{file: "cmd/monolith/also.go", text: "package main\n\nvar calls = [][2]string{{\"orders\", \"ferries\"}}\n\n" +
						"type also struct {\n\tURL string `env:\"FERRIES_URL\" envDefault:\"http://127.0.0.1:8080\"`\n}"},
				}},
			{name: "a service links another's contract", file: "cmd/payments/also.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/inventory/inventoryapi\""},
			{name: "seam links the launchers", file: "tools/seam/also.go",
				text: "package main\n\nimport _ \"example.com/shop/platform/devkit/broker\""},
			{name: "a test links a launcher", file: "cmd/orders/also_test.go",
				text: "package main\n\nimport _ \"example.com/shop/platform/devkit/broker\""},
			{name: "a program of tests simulates the outside", file: "test/near/main.go",
				text: "package main\n\nimport _ \"example.com/shop/modules/payments/paymentssim\""},
		},
	}
}
