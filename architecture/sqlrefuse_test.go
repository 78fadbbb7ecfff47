package architecture

import (
	"regexp"
	"slices"
	"strings"
)

// elsewhere are statements that affect more than one schema, or the rights of a role. PostgreSQL
// refuses other statements for the whole database or server, as CREATE ROLE, to the role that
// migrates.
var elsewhere = map[string]string{
	"CreateSchemaStmt":        "creates a schema",
	"AlterObjectSchemaStmt":   "moves something into another schema",
	"CreateExtensionStmt":     "creates an extension, which the whole database shares",
	"CreateForeignServerStmt": "connects to another database",
	"CreateForeignTableStmt":  "makes a table of another database look like the module's own",
	"ImportForeignSchemaStmt": "makes the tables of another database look like the module's own",
	"AlterRoleStmt":           "changes a role, which the whole server shares",
	"AlterRoleSetStmt":        "changes a role, which the whole server shares",
}

const (
	provisioned = "create only tables, indexes and the like in the module's own schema: what a database or server has " +
		"once is created in platform/postgres/provision.go (an extension with SCHEMA pg_catalog)"
	noChannel = "publish an event with PublishTx of its outbox: a channel belongs to the whole database, " +
		"so it is lost when the schema moves"
	expand = "add a column, fill it, and drop the old one in a later release: processes of the release before still " +
		"serve, and a statement that they have prepared fails once on each connection when its columns change " +
		"(SQLSTATE 0A000)"
	writeOut = "write the statement itself into the module's queries.sql"
)

// refuses records what no module's SQL may do, and reports whether the node needs no further check.
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
		r.refuse(line, "notifies other modules through a channel"+r.where, noChannel)
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
			words := nonEmpty(node.node("arg").text("sval"))
			r.name(line, "schema", append(pgWords(node.node("arg").list("items")), words...)...)
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

// set refuses settings that change the meaning of unqualified names or the rights of the session.
func (r sqlReader) set(name, kind string, line int) {
	if kind == "VAR_SET_CURRENT" || kind == "VAR_RESET" || kind == "VAR_SET_DEFAULT" {
		return // the role's own value
	}
	if slices.Contains([]string{"search_path", "role", "session_authorization"}, strings.ToLower(name)) {
		r.refuse(line, "sets "+name+r.where+", so its names no longer mean the module's own schema",
			"leave it out: the module's roles have the right one (a function may SET search_path FROM CURRENT)")
	}
}

func (r sqlReader) grant(node pgNode, line int) {
	for _, g := range node.list("grantees") {
		if _, role := unwrap(g); node["is_grant"] == true && role["roletype"] == "ROLESPEC_PUBLIC" {
			r.refuse(line, "grants something to PUBLIC"+r.where, noGrant)
		}
	}
}

const noGrant = "leave it out: seam grants the module's own roles their rights, and other modules use the contract"

// runners are functions that run a text as SQL; * matches any suffix.
var runners = []string{"dblink*", "query_to_xml*", "cursor_to_xml*", "schema_to_xml*", "database_to_xml*", "ts_stat",
	"crosstab*", "connectby"}

// namers are functions whose first argument is a name in a string.
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
		r.refuse(line, "notifies other modules through a channel"+r.where, noChannel)
	case name == "set_config" && !isLiteral:
		r.refuse(line, "calls set_config"+r.where+" for a setting that is computed at run time", writeOut)
	case name == "set_config":
		r.set(literal, "", line)
	case slices.Contains(namers, name) && isLiteral:
		r.name(line, "", nameParts(literal)...)
	}
}

// cast records the name in 'stock'::regclass.
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

// qualified matches strings that may be a schema and a name in it.
var qualified = regexp.MustCompile(`^"?\w+"?\."?\w+"?(\(.*\))?$`)

// nameParts returns the parts of a name in a string.
func nameParts(name string) []string {
	name, _, _ = strings.Cut(name, "(")
	return strings.Split(strings.ReplaceAll(name, `"`, ""), ".")
}
