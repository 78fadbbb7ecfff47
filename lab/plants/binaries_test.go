package plants

import "strings"

func init() {
	plants["binaries"] = set{
		refuses: []plant{
			importing("a service links another module through a package in between", "cmd/orders/also.go",
				"example.com/shop/modules/payments", "cmd/orders: links modules/payments"),
			importing("the façade links a module", "cmd/gateway/also.go", "example.com/shop/modules/orders",
				"cmd/gateway: links modules/orders"),
			importing("the monolith links the broker's server", "cmd/monolith/also.go",
				"github.com/nats-io/nats-server/v2/server", "for development"),
			importing("a service links what simulates its outside", "cmd/payments/also.go",
				"example.com/shop/modules/payments/paymentssim", "cmd/payments: links modules/payments/paymentssim, which is for development"),
			importing("a service links the launchers through platform", "platform/service/also.go",
				"example.com/shop/tools/topology", "cmd/payments: links tools/topology through platform/service"),
			importing("a program outside of cmd", "platform/web/ask/main.go", "example.com/shop/modules/orders",
				"platform/web/ask: links modules/orders"),
			importing("a program within a program", "cmd/orders/import/main.go", "example.com/shop/modules/orders",
				"cmd/orders/import: links modules/orders"),
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
			importing("the HTTP server knows PostgreSQL", "platform/web/also.go", "example.com/shop/platform/jobs",
				"platform/web: links github.com/jackc/pgx/v5 through platform/jobs"),
			importing("every process has the broker's client", "platform/service/also.go",
				"example.com/shop/platform/natsbus", "platform/service: links platform/natsbus through platform/service"),
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
			importing("a service links another's contract", "cmd/payments/also.go",
				"example.com/shop/modules/inventory/inventoryapi", ""),
			{name: "seam links the launchers", file: "tools/seam/also.go",
				text: "package main\n\nimport _ \"example.com/shop/platform/devkit/broker\""},
			importing("a test links a launcher", "cmd/orders/also_test.go", "example.com/shop/platform/devkit/broker",
				""),
			importing("a program of tests simulates the outside", "test/near/main.go",
				"example.com/shop/modules/payments/paymentssim", ""),
		},
	}
}
