package architecture

import (
	"go/ast"
	"regexp"
	"strings"
)

// settings keeps each module to its own database: its code does not read the environment, its
// process has no setting of another's connection, and only platform/postgres parses connection
// strings.
var settings = rule{
	name: "settings",
	why: "with another's connection a module needs no import and no join to share its tables; " +
		`see "A shared database" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, m := range t.Modules() {
			for _, file := range append(t.Below("modules/"+m, ".go"), t.Below("cmd/"+m, ".go")...) {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				f.subjects++
				ast.Inspect(t.Go(file), func(n ast.Node) bool {
					text := literal(n)
					for _, of := range environmentTag.FindAllStringSubmatch(text, -1) {
						if under(file, "modules") && !strings.HasPrefix(of[1], strings.ToUpper(m)+"_") {
							f.add(At(n), "reads the setting "+of[1]+", which is not "+m+"'s",
								"name it "+strings.ToUpper(m)+"_…: what a process is given for one module is no secret to share with another")
						}
					}
					for _, of := range databaseURL.FindAllStringSubmatch(text, -1) {
						if of[1] != strings.ToUpper(m) {
							f.add(At(n), "names "+of[0]+", which is not a connection of "+m,
								"call its owner through its contract, or listen to its events")
						}
					}
					if strings.Contains(strings.ToLower(text), "search_path") {
						f.add(At(n), "names the search_path, which keeps "+m+" in its own schema",
							"leave it as the role has it")
					}
					if s, ok := n.(*ast.SelectorExpr); ok && under(file, "modules") {
						x, ok := s.X.(*ast.Ident)
						if ok && (x.Name == "os" && environment[s.Sel.Name] || x.Name == "process" && s.Sel.Name == "Value") {
							f.add(At(n), "reads the environment, by "+x.Name+"."+s.Sel.Name,
								"take it as a field of the module's Config, which the process sets")
						}
					}
					return true
				})
			}
		}
		for _, folder := range []string{"modules", "cmd", "platform", "tools"} {
			for _, file := range t.Below(folder, ".go") {
				if !strings.HasSuffix(file, "_test.go") && !under(file, "platform/postgres") &&
					!under(file, "platform/devkit") {
					readsAddress(t, file, &f)
				}
			}
		}
		return f
	},
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
		{name: "a process has a setting of another's connection", file: "cmd/orders/main.go",
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

var (
	environmentTag = regexp.MustCompile(`\benv:"([^",]*)`)
	databaseURL    = regexp.MustCompile(`\b([A-Z0-9_]*)_(?:DATABASE|MIGRATE)_URL\b`)
	environment    = map[string]bool{"Getenv": true, "LookupEnv": true, "Environ": true, "ExpandEnv": true}
)

// addresses matches what turns a connection string into a connection or a configuration.
var addresses = regexp.MustCompile(`^(pgx|pgconn)\.(Connect|ParseConfig)(WithOptions)?$|^pgxpool\.(New|ParseConfig)$`)

// connections matches all that opens one.
var connections = regexp.MustCompile(`^(pgx|pgconn)\.Connect|^pgxpool\.New|^pgxpool\.ParseConfig`)

func readsAddress(t Tree, file string, f *findings) {
	ast.Inspect(t.Go(file), func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			x, ok := s.X.(*ast.Ident)
			if ok && under(file, "modules") && connections.MatchString(x.Name+"."+s.Sel.Name) {
				f.add(At(n), "opens a connection of its own, by "+x.Name+"."+s.Sel.Name,
					"use the database that New is given, whose connections the process bounds and closes")
			} else if ok && addresses.MatchString(x.Name+"."+s.Sel.Name) {
				f.add(At(n), "parses a connection string, by "+x.Name+"."+s.Sel.Name,
					"let platform/postgres open it, so that every connection has the same settings")
			}
		}
		return true
	})
}
