package architecture

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/wasilibs/go-pgquery/parser"
)

// script is a parsed text of SQL.
type script struct {
	statements int
	makes      map[string]string // the names that it creates, with their kind; a function's ends with ()
	names      []sqlName         // the names that it uses
	broken     []sqlBroken       // what no module's SQL may do, with any name
}

// sqlName is one use of a name.
type sqlName struct {
	line  int
	kind  string   // table, type, function, column, role, schema, literal; "" if it may be any
	parts []string // the schema first, if it is qualified
	where string   // the construct around it, for the message: a foreign key, a view, the body of a function
}

// sqlBroken is a violation for any module.
type sqlBroken struct {
	line      int
	what, fix string
}

var (
	scripts  sync.Map // text → func() *script: trees that differ in one file share the rest
	sqlTurn  sync.Mutex
	errCrash = errors.New("PostgreSQL's parser fails on it")
)

// readScript parses a text, and the bodies of its functions, with PostgreSQL's own parser.
func readScript(text string) *script {
	read, _ := scripts.LoadOrStore(text, sync.OnceValue(func() *script {
		s := &script{makes: map[string]string{}}
		sqlReader{script: s}.read(text, 1)
		slices.SortStableFunc(s.names, func(a, b sqlName) int { return cmp.Compare(a.line, b.line) })
		return s
	}))
	return read.(func() *script)()
}

// parseSQL parses one text at a time: concurrent callers would each start a parser, which takes two
// seconds.
func parseSQL(parse func(string) (string, error), text string) (tree any, err error) {
	sqlTurn.Lock()
	defer sqlTurn.Unlock()
	defer func() {
		if recover() != nil {
			err = errCrash
		}
	}()
	out, err := parse(text)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal([]byte(out), &tree)
	return tree, err
}

// sqlReader walks the statements of a text, which may be the body of a function.
type sqlReader struct {
	*script
	text   string
	line   int    // of the file on which the text begins
	where  string // the construct around the current node
	loose  bool   // a type may be a function, as in CREATE AGGREGATE
	member bool   // the last part of a name is a column, a trigger or the like
}

// read reads every statement of a text that begins at the line.
func (r sqlReader) read(text string, line int) {
	r.text, r.line = text, line
	tree, err := parseSQL(parser.ParseToJSON, text)
	if err != nil {
		at := 0
		if syntax, ok := errors.AsType[*parser.Error](err); ok {
			at = min(max(syntax.Cursorpos-1, 0), len(text))
		}
		r.refuse(r.lineAt(at), "is not valid SQL for PostgreSQL: "+err.Error(), "correct the statement")
		return
	}
	_, root := unwrap(tree)
	for _, s := range root.list("stmts") {
		r.statements++
		_, raw := unwrap(s)
		from, to := raw.number("stmt_location"), len(text)
		if length := raw.number("stmt_len"); length > 0 {
			to = from + length
		}
		from += len(leading.FindString(text[from:to]))
		if kind, node := unwrap(raw["stmt"]); kind != "" {
			r.statement(kind, node, from, text[from:to])
		}
	}
}

// leading matches the space and comments before a statement.
var leading = regexp.MustCompile(`^(?:\s+|--[^\n]*|/\*(?s:.*?)\*/)*`)

// statement records what a statement creates, reads its body if it has one, and walks the rest.
func (r sqlReader) statement(kind string, node pgNode, at int, text string) {
	r.create(kind, node)
	switch kind {
	case "CreateFunctionStmt":
		r.where = " in the function " + strings.Join(pgWords(node.list("funcname")), ".")
		r.body(node.list("options"), "sql", text, at)
	case "DoStmt":
		r.where = " in a DO block"
		r.body(node.list("args"), "plpgsql", text, at)
	}
	r.walk(kind, node, at, nil)
}

// body reads the body of a function, procedure or DO block in a string.
func (r sqlReader) body(options []any, language, statement string, at int) {
	var body string
	for _, o := range options {
		_, option := unwrap(o)
		arg := option.node("arg")
		switch option["defname"] {
		case "language":
			language = arg.text("sval")
		case "as":
			body = cmp.Or(arg.text("sval"), strings.Join(pgWords(arg.list("items")), ", "))
			at = max(at, option.number("location"))
		}
	}
	if begin := strings.Index(r.text[at:], body); begin > 0 {
		at += begin
	}
	switch {
	case language != "sql" && language != "plpgsql":
		r.refuse(r.lineAt(at), "has a body in "+language+r.where+", which no rule can read",
			"write it in SQL or PL/pgSQL, or better in Go: business rules belong to the module's code")
	case body == "": // BEGIN ATOMIC … END is part of the statement
	case language == "sql":
		r.read(body, r.lineAt(at))
	default:
		tree, err := parseSQL(parser.ParsePlPgSqlToJSON, statement)
		if err != nil {
			r.refuse(r.lineAt(at), "cannot be parsed as PL/pgSQL"+r.where+": "+err.Error(),
				"correct the body (a variable with fields is a record)")
			return
		}
		r.line = r.lineAt(at)
		r.procedure("", tree, r.line)
	}
}

// procedure walks a body of PL/pgSQL, in which every expression and statement is a text of SQL.
func (r sqlReader) procedure(kind string, tree any, line int) {
	if children, ok := tree.([]any); ok {
		for _, child := range children {
			r.procedure(kind, child, line)
		}
		return
	}
	m, _ := tree.(map[string]any)
	node := pgNode(m)
	if n := node.number("lineno"); n > 0 {
		line = r.line + n - 1
	}
	if query := node.text("query"); query != "" {
		r.read(asStatement(query, node.number("parseMode")), line)
	}
	if name := node.text("typname"); name != "" {
		r.declared(name, line)
	}
	for _, key := range node.keys() {
		dynamic := key == "dynquery" ||
			key == "query" && (kind == "PLpgSQL_stmt_dynexecute" || kind == "PLpgSQL_stmt_dynfors")
		if dynamic {
			r.dynamic(node.node(key).text("query"), line)
		} else {
			r.procedure(key, node[key], line)
		}
	}
}

// asStatement converts a text of PL/pgSQL to a statement: an expression, or an assignment, whose
// target may contain one in brackets.
func asStatement(query string, mode int) string {
	const statement, expression = 0, 2
	switch {
	case mode == statement:
		return query
	case mode == expression:
		return "SELECT " + query
	case strings.Contains(query, ":="):
		return "SELECT " + strings.Replace(query, ":=", ",", 1)
	default:
		return "SELECT " + strings.Replace(query, "=", ",", 1)
	}
}

// declared reads the type of a variable, such as integer, lines%ROWTYPE and lines.sku%TYPE.
func (r sqlReader) declared(name string, line int) {
	name = strings.TrimSpace(name)
	of, isRow := cutSuffixFold(name, "%rowtype")
	of, isColumn := cutSuffixFold(of, "%type")
	parts := strings.Split(of, ".")
	switch {
	case isRow:
		r.name(line, "table", parts...)
	case isColumn && len(parts) > 1:
		r.name(line, "column", parts[:len(parts)-1]...)
	case !isColumn:
		r.read("SELECT NULL::"+name, line)
	}
}

func cutSuffixFold(s, suffix string) (before string, found bool) {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return strings.TrimSpace(s[:len(s)-len(suffix)]), true
}

// dynamic reads what EXECUTE runs, if that is a literal.
func (r sqlReader) dynamic(expression string, line int) {
	if tree, err := parseSQL(parser.ParseToJSON, "SELECT "+expression); err == nil {
		if literal, ok := pgConstant(onlyTarget(tree)); ok {
			r.read(literal, line)
			return
		}
	}
	r.refuse(line, fmt.Sprintf("executes a text that is computed at run time (%s)%s: no rule can read it", expression,
		r.where),
		"write the statement itself, or EXECUTE one literal")
}

// onlyTarget returns what a parsed SELECT selects, if that is one expression.
func onlyTarget(tree any) any {
	_, root := unwrap(tree)
	if statements := root.list("stmts"); len(statements) == 1 {
		_, raw := unwrap(statements[0])
		if targets := raw.node("stmt").list("targetList"); len(targets) == 1 {
			_, target := unwrap(targets[0])
			return target["val"]
		}
	}
	return nil
}

func (r sqlReader) refuse(line int, what, fix string) {
	r.broken = append(r.broken, sqlBroken{line, what, fix})
}

func (r sqlReader) name(line int, kind string, parts ...string) {
	r.names = append(r.names, sqlName{line: line, kind: kind, parts: parts, where: r.where})
}

func (r sqlReader) lineAt(offset int) int { return r.line + strings.Count(r.text[:offset], "\n") }
