package plants

func init() {
	plants["settings"] = set{
		refuses: []plant{
			{name: "a module reads another's connection", file: "modules/orders/peek.go",
				text: "package orders\n\nimport \"os\"\n\nvar theirs = os.Getenv(\"PAYMENTS_DATABASE_URL\")",
				want: "modules/orders/peek.go:5: names PAYMENTS_DATABASE_URL, which is not a connection of orders"},
			{name: "a module reads a setting past its Config", file: "modules/orders/peek.go",
				text: "package orders\n\nimport \"example.com/shop/platform/process\"\n\nvar theirs = process.Value(\"ELSEWHERE\")",
				want: "reads the environment, by process.Value"},
			{name: "a module reads the environment", file: "modules/orders/peek.go",
				text: "package orders\n\nimport \"os\"\n\nvar theirs, _ = os.LookupEnv(\"ELSEWHERE\")",
				want: "reads the environment, by os.LookupEnv"},
			{name: "a process has a setting of another's connection", file: "cmd/orders/config.go",
				old:  "`env:\"INVENTORY_URL\"",
				text: "`env:\"INVENTORY_MIGRATE_URL\"", want: "names INVENTORY_MIGRATE_URL"},
			{name: "a module reads another's setting", file: "modules/orders/module.go", old: `env:"ORDERS_DEADLINE"`,
				text: `env:"PAYMENTS_QUIET"`, want: "reads the setting PAYMENTS_QUIET, which is not orders's"},
			{name: "a module opens a connection of its own", file: "modules/orders/peek.go",
				text: "package orders\n\nimport \"github.com/jackc/pgx/v5\"\n\nvar open = pgx.ConnectConfig",
				want: "modules/orders/peek.go:5: opens a connection of its own, by pgx.ConnectConfig"},
			{name: "a command parses a connection string", file: "tools/seam/peek.go",
				text: "package main\n\nimport \"github.com/jackc/pgx/v5/pgxpool\"\n\nvar open = pgxpool.New",
				want: "tools/seam/peek.go:5: parses a connection string, by pgxpool.New"},
			{name: "a module leaves its schema", file: "modules/orders/peek.go",
				text: "package orders\n\nconst peek = \"SET LOCAL Search_Path = payments\"", want: "names the search_path"},
		},
		accepts: []plant{
			{name: "a process names its own", file: "cmd/orders/near.go",
				text: "package main\n\nconst near = \"ORDERS_DATABASE_URL\""},
			{name: "a connection like another", file: "platform/events/near.go",
				text: "package events\n\nimport \"github.com/jackc/pgx/v5\"\n\nvar near = pgx.ConnectConfig"},
			{name: "a test reads the environment", file: "modules/orders/near_test.go",
				text: "package orders\n\nimport \"os\"\n\nvar near = os.Getenv(\"PAYMENTS_DATABASE_URL\")"},
			{name: "a comment", file: "modules/orders/near.go",
				text: "package orders\n\n// near is nothing: PAYMENTS_DATABASE_URL and its search_path are for payments.\nconst near = 1"},
		},
	}
}
