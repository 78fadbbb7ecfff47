package architecture

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sqlInGo keeps the statements of a module where the rule sql reads them.
var sqlInGo = rule{
	name: "sqlingo",
	why: "a statement that is hidden in Go is checked by nobody, neither against the module's tables nor for what it reaches into; " +
		"see \"A shared database\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		for _, file := range slices.Concat(t.Below("modules", ".go"), t.Below("migrations", ".go"), t.Below("cmd", ".go")) {
			if strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/internal/db/") || under(file, "cmd/seam") {
				continue // seam is the operator's: it looks at outbox and inbox, which are in every schema
			}
			f.subjects++
			ast.Inspect(t.Go(file), f.sqlIn)
		}
		return f
	},
	refuses: []plant{
		{name: "a query of another module's table", file: "modules/orders/plant.go", text: `package orders

const stock = "SELECT on_hand FROM inventory.stock WHERE sku = $1"`,
			want: "modules/orders/plant.go:3: holds SQL: SELECT on_hand FROM inventory.stock"},
		{name: "a query of its own table", file: "modules/orders/plant.go", text: `package orders

func f(pool interface{ Exec(string) }) { pool.Exec("DELETE FROM lines") }`, want: "holds SQL: DELETE FROM lines"},
		{name: "small letters, over several lines, behind a comment", file: "modules/orders/plant.go", text: "package orders\n\nconst q = `-- all\n" +
			"update orders\nset status = 'placed'`", want: "holds SQL: -- all update orders"},
		{name: "a statement in pieces", file: "modules/orders/plant.go", text: `package orders

func f(table string) string { return "SELECT id" + " FROM " + table + " WHERE id = $1" }`, want: "holds SQL: SELECT id FROM"},
		{name: "a statement with a verb in it", file: "modules/orders/plant.go", text: `package orders

const q = "INSERT INTO %s (id) VALUES (%d)"`, want: "holds SQL: INSERT INTO"},
		{name: "a channel", file: "modules/orders/plant.go", text: `package orders

const q = "LISTEN placed"`, want: "holds SQL: LISTEN placed"},
		{name: "rows copied into another module's table", file: "modules/orders/plant.go", text: `package orders

import "github.com/jackc/pgx/v5"

var to = pgx.Identifier{"inventory", "stock"}`, want: "modules/orders/plant.go:5: names a table in Go"},
		{name: "a migration in Go", file: "migrations/orders/plant.go", text: `package ordersmigrations

const up = "ALTER TABLE lines ADD COLUMN note text"`, want: "holds SQL: ALTER TABLE lines"},
		{name: "a query in a service's main", file: "cmd/orders/plant.go", text: `package main

const q = "TRUNCATE outbox"`, want: "holds SQL: TRUNCATE outbox"},
	},
	accepts: []plant{
		{name: "an error that starts like a statement", file: "modules/orders/near.go", text: `package orders

import "fmt"

func f(err error) error { return fmt.Errorf("update order: %w", err) }`},
		{name: "texts of English that PostgreSQL would understand", file: "modules/orders/near.go", text: `package orders

var texts = []string{"select one item", "truncate text", "listen first", "set deadline to now", "Select from the list", "UPDATE failed"}`},
		{name: "a test", file: "modules/orders/near_test.go", text: `package orders

const q = "SELECT count(*) FROM lines"`},
		{name: "generated code", file: "modules/orders/internal/db/near.go", text: `package db

const q = "SELECT count(*) FROM lines"`},
	},
}

// sqlIn refuses a node of Go that is SQL, and says whether to look into it.
func (f *findings) sqlIn(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.CompositeLit:
		if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Identifier" && isName(s.X, "pgx") {
			f.add(At(n), "names a table in Go", "write the statement into the module's queries.sql (for many rows, with :copyfrom)")
		}
	case *ast.BasicLit, *ast.BinaryExpr:
		pieces, literal := joined(n.(ast.Expr))
		if literal && isStatement(pieces) {
			f.add(At(n), "holds SQL: "+beginning(pieces), "write it into the module's queries.sql, and call what make generate makes of it")
			return false
		}
	}
	return true
}

func isName(e ast.Expr, name string) bool {
	i, ok := e.(*ast.Ident)
	return ok && i.Name == name
}

// joined is the text of a literal, or of literals joined by +, with x for what is known only when it runs.
func joined(e ast.Expr) (text string, literal bool) {
	switch n := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(n.Value)
		return text, n.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, first := joined(n.X)
		right, second := joined(n.Y)
		return left + right, n.Op == token.ADD && (first || second)
	case *ast.ParenExpr:
		return joined(n.X)
	}
	return "x", false
}

var (
	begins = regexp.MustCompile(`(?is)^(\s|--[^\n]*\n|/\*.*?\*/)*` +
		`(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|CREATE|ALTER|DROP|TRUNCATE|COPY|LOCK|GRANT|REVOKE|LISTEN|NOTIFY|SET|DO|CALL)\s+\S`)
	verbs = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)
	// sentence is what English and SQL share. In small letters only a statement with more than that is one.
	sentence = regexp.MustCompile(`(?is)\b(from\s+\S+\s+(where|join|order|group|limit|for)\b|from\s+\w+\s*;?\s*$|\binto\s+\w+|\bset\s+\w+\s*=|table\s+\w+\s)`)
)

// isStatement says that a text is a statement, and not a sentence that begins like one.
func isStatement(text string) bool {
	begin := begins.FindStringSubmatch(text)
	if begin == nil {
		return false
	}
	verb := begin[2]
	if verb != strings.ToUpper(verb) && !sentence.MatchString(text) {
		return false
	}
	return readScript(text).statements > 0 || readScript(verbs.ReplaceAllString(text, "x")).statements > 0
}

// beginning is the beginning of a text on one line.
func beginning(text string) string {
	const most = 60
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
