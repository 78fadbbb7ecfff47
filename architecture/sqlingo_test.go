package architecture

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// sqlInGo keeps the statements of a module where rule sql reads them. It looks for calls that run a
// statement and not for SQL in strings, because English and SQL share too many words; only a table
// that is qualified by its module is unmistakable, and refused in any text.
var sqlInGo = rule{
	name: "sqlingo",
	why: "no tool checks a statement outside of queries.sql, neither against the module's tables nor " +
		"for those of other modules; " +
		"see \"A shared database\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		tables := t.qualifiedTables()
		for _, file := range slices.Sorted(maps.Keys(t)) {
			if strings.HasSuffix(file, "_test.go") || under(file, "tools/seam") || under(file, "architecture") {
				continue // seam reads outbox and inbox of every schema, for the operator
			}
			me, _ := ownerOfFile(file)
			switch path.Ext(file) {
			case ".go":
				f.subjects++
				f.sqlInFile(t, file, tables[""])
			case ".sql", ".md": // rule sql reads the former, and the latter is not run
			default:
				if at := tables[me].FindStringIndex(t[file]); at != nil {
					f.add(fmt.Sprintf("%s:%d", file, 1+strings.Count(t[file][:at[0]], "\n")),
						"contains SQL: "+t[file][at[0]:at[1]], intoQueries)
				}
			}
		}
		return f
	},
	refuses: []plant{
		{name: "a statement of its own table", file: "modules/orders/plant.go", text: `package orders

func f(pool interface{ Exec(string) }) { pool.Exec("DELETE FROM lines") }`,
			want: "modules/orders/plant.go:3: runs SQL by Exec\n  instead: write it into"},
		{name: "a query that is concatenated", file: "modules/orders/plant.go", text: `package orders

func f(ctx context.Context, tx pgx.Tx, where string) {
	q := "select id from lines where "
	q += where
	tx.Query(ctx, q)
}`, want: "modules/orders/plant.go:6: runs SQL by Query"},
		{name: "rows copied into another module's table", file: "modules/orders/plant.go", text: `package orders

func f(ctx context.Context, tx pgx.Tx) { tx.CopyFrom(ctx, []string{"inventory", "stock"}, []string{"sku"}, nil) }`,
			want: "runs SQL by CopyFrom"},
		{name: "a batch", file: "modules/orders/plant.go", text: `package orders

func f(ctx context.Context, tx pgx.Tx, b *pgx.Batch) { tx.SendBatch(ctx, b).Close() }`, want: "runs SQL by SendBatch"},
		{name: "a method as a value", file: "modules/orders/plant.go", text: `package orders

func f(ctx context.Context, tx pgx.Tx) {
	run := tx.Exec
	run(ctx, statement())
}`, want: "modules/orders/plant.go:4: uses Exec as a value"},
		{name: "a migration in Go", file: "migrations/orders/plant.go", text: `package ordersmigrations

func up(ctx context.Context, tx *sql.Tx) { tx.ExecContext(ctx, "ALTER TABLE lines ADD COLUMN note text") }`,
			want: "runs SQL by ExecContext"},
		{name: "a query in a service's main", file: "cmd/orders/plant.go", text: `package main

func f(ctx context.Context, pool *pgxpool.Pool) { pool.QueryRow(ctx, counts).Scan(&n) }`, want: "runs SQL by QueryRow"},
		{name: "a file among the generated ones", file: "modules/orders/internal/db/plant.go",
			text: "package db\n\ntype Mine struct{}",
			want: "modules/orders/internal/db/plant.go: is not generated"},
		{name: "another module's table in a text", file: "modules/orders/plant.go", text: `package orders

const stock = "select on_hand from inventory.stock"`,
			want: `modules/orders/plant.go:3: contains SQL: from inventory.stock`},
		{name: "a module's table in platform", file: "platform/events/plant.go",
			text: "package events\n\nconst report = `SELECT id\nFROM\n\torders.\"orders\"`",
			want: "platform/events/plant.go:3: contains SQL"},
		{name: "a module's outbox in the façade", file: "cmd/gateway/plant.go",
			text: "package main\n\nconst q = `UPDATE \"orders\".outbox SET key = ''`",
			want: "contains SQL: UPDATE \"orders\".outbox"},
		{name: "a text that is embedded", file: "modules/orders/report.txt",
			text: "-- all\nselect sku\nfrom inventory.stock\n",
			want: "modules/orders/report.txt:3: contains SQL: from inventory.stock"},
		{name: "a report that is deployed", file: "deploy/report.sh",
			text: "psql -c 'SELECT sku FROM orders.lines JOIN inventory.stock USING (sku)'",
			want: "deploy/report.sh:1: contains SQL: FROM orders.lines"},
	},
	accepts: []plant{
		{name: "English texts with words of SQL", file: "modules/orders/near.go", text: `package orders

var texts = []string{"SET x TO y", "LOCK y", "Set up = done", "update order: %w", "Select one from the list", "it came from inventory.", "SELECT"}`},
		{name: "a topic", file: "platform/events/near.go",
			text: "package events\n\nconst failed = \"cannot read from inventory.reserved.v1\""},
		{name: "the query of an address", file: "modules/orders/near.go", text: `package orders

func f(r *http.Request) string { return r.URL.Query().Get("limit") }`},
		{name: "a search that is no statement", file: "modules/orders/near.go",
			text: "package orders\n\nvar found = catalogue.Query(\"tea\")"},
		{name: "a test", file: "modules/orders/near_test.go", text: `package orders

func f(ctx context.Context, tx pgx.Tx) { tx.Exec(ctx, "SELECT count(*) FROM orders.lines") }`},
		{name: "generated code", file: "modules/orders/internal/db/near.go",
			text: `// Code generated by sqlc. DO NOT EDIT.

package db

func f(ctx context.Context, tx pgx.Tx) { tx.Exec(ctx, "DELETE FROM lines") }`},
		{name: "platform's own statement", file: "platform/events/near.go", text: `package events

func f(ctx context.Context, tx pgx.Tx) { tx.Exec(ctx, "DELETE FROM outbox") }`},
		{name: "its own table in a text", file: "modules/orders/near.txt", text: "Taken from orders.lines."},
	},
}

const intoQueries = "write it into the queries.sql of the module that owns the table, and call what make generate " +
	"creates (for many rows, with :copyfrom)"

// runs are the methods of pgx and database/sql that run a statement, with their least number of
// arguments: Query is a method of other packages, too, but pgx's takes a context and a statement.
// What Prepare returns is run by one of them.
var runs = map[string]int{
	"Exec": 1, "QueryRow": 1, "CopyFrom": 1, "SendBatch": 1, "Query": 2, "ExecContext": 2, "QueryContext": 2,
	"QueryRowContext": 2,
}

// sqlInFile refuses calls that run a statement outside of queries.sql, and texts that name a
// module's table.
func (f *findings) sqlInFile(t Tree, file string, tables *regexp.Regexp) {
	if under(file, "modules") && strings.Contains(file, "/internal/db/") {
		if !strings.HasPrefix(t[file], "// Code generated ") {
			f.add(file, "is not generated",
				"move it into the module's own folder, and its statements into queries.sql: "+
					"make generate owns internal/db")
		}
		return
	}
	folder, _, _ := strings.Cut(file, "/")
	ofModule := slices.Contains([]string{"modules", "migrations", "cmd"}, folder)
	called := map[ast.Node]bool{}
	ast.Inspect(t.Go(file), func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			called[n.Fun] = true
			method, ok := n.Fun.(*ast.SelectorExpr)
			if ok && ofModule && runs[method.Sel.Name] > 0 && len(n.Args) >= runs[method.Sel.Name] {
				f.add(At(n), "runs SQL by "+method.Sel.Name, intoQueries)
			}
		case *ast.SelectorExpr: // as a value: its later calls are not seen
			if ofModule && runs[n.Sel.Name] > 0 && !called[n] {
				f.add(At(n), "uses "+n.Sel.Name+" as a value, which runs SQL", intoQueries)
			}
		}
		if found := tables.FindString(literal(node)); found != "" {
			f.add(At(node), "contains SQL: "+strings.Join(strings.Fields(found), " "), intoQueries)
		}
		return true
	})
}

// qualifiedTables returns, by module, what matches a table that is qualified by another module; under
// "" by any.
func (t Tree) qualifiedTables() map[string]*regexp.Regexp {
	found := map[string]*regexp.Regexp{}
	for _, me := range append(t.Modules(), "") {
		var names []string
		for _, m := range t.Modules() {
			for _, table := range append(t.Tables(m), t.platformTables()...) {
				if m != me {
					names = append(names, fmt.Sprintf(`"?%s"?\."?%s`, m, table))
				}
			}
		}
		found[me] = regexp.MustCompile(`(?is)\b(from|join|into|update|table|only)\s+(` + strings.Join(names, "|") + `)"?\b`)
	}
	return found
}
