package architecture

import (
	"regexp"
	"slices"
	"strings"
)

// elsewhere are statements that concern more than one schema, whatever they name: the doors out, and what a role may do to itself.
// Whatever else concerns the whole database or server, as CREATE ROLE, PostgreSQL refuses to the role that migrates.
var elsewhere = map[string]string{
	"CreateSchemaStmt":        "creates a schema",
	"AlterObjectSchemaStmt":   "moves something into another schema",
	"CreateExtensionStmt":     "creates an extension, which the whole database shares",
	"CreateForeignServerStmt": "opens a door to another database",
	"CreateForeignTableStmt":  "makes a table of another database look like the module's own",
	"ImportForeignSchemaStmt": "makes the tables of another database look like the module's own",
	"AlterRoleStmt":           "changes a role, which the whole server shares",
	"AlterRoleSetStmt":        "changes a role, which the whole server shares",
}

const (
	provisioned = "keep to tables, indexes and the like in the module's own schema: what a database or a server has once " +
		"is made in platform/postgres/provision.go (an extension with SCHEMA pg_catalog)"
	noChannel = "publish an event with PublishTx of its outbox: a channel belongs to the whole database, so it is gone when the schema moves"
	expand    = "add a column, fill it, and drop the old one in a later release: processes of the release before are still " +
		"serving, and a statement that they have prepared fails once on each connection when its columns change (SQLSTATE 0A000)"
	writeOut = "write the statement out in the module's queries.sql"
)

// refuses notes what no module's SQL may do, and says whether the node needs no further look.
func (r sqlReader) refuses(kind string, node pgNode, line int) bool {
	if what, is := elsewhere[kind]; is {
		r.refuse(line, what+r.where, provisioned)
		return true
	}
	switch kind {
	case "AlterTableCmd":
		if node["subtype"] == "AT_AlterColumnType" {
			r.refuse(line, "changes the type of the column "+node.text("name"), expand)
		}
	case "RenameStmt":
		if node["renameType"] == "OBJECT_COLUMN" {
			r.refuse(line, "renames the column "+node.text("subname"), expand)
		}
	case "ListenStmt", "NotifyStmt":
		r.refuse(line, "speaks to other modules through a channel"+r.where, noChannel)
	case "VariableSetStmt":
		r.set(node.text("name"), node.text("kind"), line)
	case "CopyStmt":
		if node.text("filename") != "" || node["is_program"] == true {
			r.refuse(line, "copies from or to the server's own files or programs"+r.where, provisioned)
		}
	case "GrantStmt":
		r.grant(node, line)
	case "DefElem":
		if name := node.text("defname"); name == "schema" || name == "schemas" {
			r.name(line, "schema", append(pgWords(node.node("arg").list("items")), said(node.node("arg").text("sval"))...)...)
			return true
		}
		return node["defname"] == "as" // a body, which is read as one
	case "FuncCall", "funccall":
		r.call(node, line)
	case "A_Const":
		if literal, ok := node.node("sval")["sval"].(string); ok && qualified.MatchString(literal) {
			r.name(line, "literal", nameParts(literal)...)
		}
	case "TypeCast":
		if words := pgWords(node.node("typeName").list("names")); len(words) > 0 {
			r.cast(words[len(words)-1], node["arg"], line)
		}
	}
	return false
}

// set refuses what makes unqualified names, or the rights of whoever uses them, mean something else.
func (r sqlReader) set(name, kind string, line int) {
	if kind == "VAR_SET_CURRENT" || kind == "VAR_RESET" || kind == "VAR_SET_DEFAULT" {
		return // what the role has anyway
	}
	if slices.Contains([]string{"search_path", "role", "session_authorization"}, strings.ToLower(name)) {
		r.refuse(line, "sets "+name+r.where+", so its names no longer mean the module's own schema",
			"leave it out: the module's roles have the right one (a function may say SET search_path FROM CURRENT)")
	}
}

func (r sqlReader) grant(node pgNode, line int) {
	for _, g := range node.list("grantees") {
		if _, role := unwrap(g); node["is_grant"] == true && role["roletype"] == "ROLESPEC_PUBLIC" {
			r.refuse(line, "grants something to everybody"+r.where, noGrant)
		}
	}
}

const noGrant = "leave it out: the module's own roles have their rights from seam, and another module asks through the contract"

// runners are functions that run a text as SQL; a * stands for any end.
var runners = []string{"dblink*", "query_to_xml*", "cursor_to_xml*", "schema_to_xml*", "database_to_xml*", "ts_stat", "crosstab*", "connectby"}

// namers are functions whose first argument is the name of something, in a string.
var namers = []string{"nextval", "currval", "setval", "pg_get_serial_sequence", "table_to_xml", "table_to_xmlschema",
	"to_regclass", "to_regtype", "to_regproc", "to_regprocedure"}

func (r sqlReader) call(node pgNode, line int) {
	words := pgWords(node.list("funcname"))
	if len(words) == 0 {
		return
	}
	name := words[len(words)-1]
	var first any
	if args := node.list("args"); len(args) > 0 {
		first = args[0]
	}
	literal, isLiteral := pgConstant(first)
	switch {
	case slices.ContainsFunc(runners, func(f string) bool {
		prefix, open := strings.CutSuffix(f, "*")
		return name == prefix || open && strings.HasPrefix(name, prefix)
	}):
		r.refuse(line, "calls "+name+r.where+", which runs a text as SQL where no rule can read it", writeOut)
	case name == "pg_notify":
		r.refuse(line, "speaks to other modules through a channel"+r.where, noChannel)
	case name == "set_config" && !isLiteral:
		r.refuse(line, "calls set_config"+r.where+" for a setting that is only known when it runs", writeOut)
	case name == "set_config":
		r.set(literal, "", line)
	case slices.Contains(namers, name) && isLiteral:
		r.name(line, "", nameParts(literal)...)
	}
}

// cast notes the name in 'stock'::regclass.
func (r sqlReader) cast(to string, arg any, line int) {
	literal, ok := pgConstant(arg)
	switch {
	case !ok || !strings.HasPrefix(to, "reg"):
	case to == "regclass":
		r.name(line, "table", nameParts(literal)...)
	case to == "regrole":
		r.name(line, "role", literal)
	case to == "regnamespace":
		r.name(line, "schema", literal)
	default:
		r.name(line, "", nameParts(literal)...)
	}
}

// qualified are strings that may be a schema and the name of something in it.
var qualified = regexp.MustCompile(`^"?\w+"?\."?\w+"?(\(.*\))?$`)

// nameParts makes the parts of a name from a string that holds it.
func nameParts(name string) []string {
	name, _, _ = strings.Cut(name, "(")
	return strings.Split(strings.ReplaceAll(name, `"`, ""), ".")
}
