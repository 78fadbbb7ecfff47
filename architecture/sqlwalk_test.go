package architecture

import (
	"maps"
	"slices"
	"strings"
)

// walk finds the names in a node by their form and not by kinds of statements: a table has a
// relname, and every other name is a list of strings. So it also finds names in constructs that no
// case here knows.
func (r sqlReader) walk(kind string, node pgNode, at int, ctes []string) {
	at = r.at(node, at)
	if r.refuses(kind, node, r.lineAt(at)) {
		return // with all below it
	}
	switch {
	case kind == "Constraint" && node["contype"] == "CONSTR_FOREIGN":
		r.where = " in a foreign key"
	case kind == "ViewStmt":
		r.where = " in a view"
	case kind == "CreateTrigStmt":
		r.where = " in a trigger"
	}
	r.loose = r.loose || kind == "DefineStmt"
	r.member = r.member || kind == "DefElem" && node["defname"] == "owned_by"
	for _, key := range []string{"removeType", "objtype", "objectType", "renameType"} {
		r.member = r.member || slices.Contains(members, node.text(key))
	}
	name, schema := node.text("relname"), node.text("schemaname")
	if name != "" && (schema != "" || !slices.Contains(ctes, name)) {
		r.name(r.lineAt(at), "table", nonEmpty(node.text("catalogname"), schema, name)...)
	}
	if role := node.text("rolename"); role != "" {
		r.name(r.lineAt(at), "role", role)
	}
	ctes = r.with(node.node("withClause"), at, ctes)
	for _, key := range node.keys() {
		if key != "withClause" && key != "lockedRels" { // FOR UPDATE OF names what FROM has named already
			r.child(key, node, at, ctes)
		}
	}
}

// with walks the queries of a WITH clause, and returns the names that the statement below it may
// use. A query may use those before it and, only if the clause is recursive, itself and those after
// it.
func (r sqlReader) with(clause pgNode, at int, ctes []string) []string {
	all := slices.Clone(ctes)
	for _, c := range clause.list("ctes") {
		_, cte := unwrap(c)
		all = append(all, cte.text("ctename"))
	}
	for i, c := range clause.list("ctes") {
		known := all[:len(ctes)+i]
		if clause["recursive"] == true {
			known = all
		}
		kind, cte := unwrap(c)
		r.walk(kind, cte, at, slices.Clone(known))
	}
	return all
}

// child walks the value of a node's key.
func (r sqlReader) child(key string, parent pgNode, at int, ctes []string) {
	switch value := parent[key].(type) {
	case map[string]any:
		if kind, node := unwrap(value); kind != "" {
			r.walk(kind, node, at, ctes)
		} else {
			r.walk(key, value, at, ctes)
		}
	case []any:
		if words := pgWords(value); len(words) > 0 {
			r.words(key, parent, words, at)
			return
		}
		for _, v := range value {
			if kind, node := unwrap(v); node != nil {
				r.walk(kind, node, at, ctes)
			}
		}
	}
}

// plainWords are the keys of lists of strings that are not a qualified name.
var plainWords = []string{
	"pk_attrs", "fk_attrs", "fk_del_set_cols", "keys", "including", "vals", "aliascolnames", "colnames", "colNames",
	"aliases",
	"cols", "columns", "indirection", "attlist", "va_cols", "search_col_list", "cycle_col_list", "args", "arg_names",
	"stat_types",
}

// members are the kinds of objects with a name of a table's and one part more.
var members = []string{"OBJECT_COLUMN", "OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE", "OBJECT_TABCONSTRAINT",
	"OBJECT_DOMCONSTRAINT"}

// words records a list of strings as the name of what its key means.
func (r sqlReader) words(key string, parent pgNode, words []string, at int) {
	line := r.lineAt(at)
	last := len(words) - 1
	switch {
	case slices.Contains(plainWords, key):
	case key == "names" && parent["pct_type"] == true: // lines.sku%TYPE
		r.name(line, "table", words[:last]...)
	case key == "names" && !r.loose:
		r.name(line, "type", words...)
	case key == "fields":
		if last > 1 {
			r.name(line, "column", words[:last]...)
		}
	case key == "funcname":
		r.name(line, "function", words...)
	case key == "items" && r.member && last > 0:
		r.name(line, "table", words[:last]...)
	default:
		r.name(line, "", words...)
	}
}

// at returns where a node begins in the text, or where its parent does.
func (r sqlReader) at(node pgNode, parent int) int {
	if l := node.number("location"); l > 0 && l <= len(r.text) {
		return l
	}
	return parent
}

// create records what a statement creates, so that others may use its name.
func (r sqlReader) create(kind string, node pgNode) {
	made := func(what string, name ...string) {
		if len(name) > 0 && name[len(name)-1] != "" {
			r.makes[name[len(name)-1]] = what
		}
	}
	relname := func(key string) string { return node.node(key).text("relname") }
	switch kind {
	case "CreateStmt":
		made("table", relname("relation"))
	case "ViewStmt":
		made("view", relname("view"))
	case "CreateTableAsStmt":
		made("table", node.node("into").node("rel").text("relname"))
	case "SelectStmt":
		made("table", node.node("intoClause").node("rel").text("relname"))
	case "CreateSeqStmt":
		made("sequence", relname("sequence"))
	case "CompositeTypeStmt":
		made("type", relname("typevar"))
	case "IndexStmt":
		made("index", node.text("idxname"))
	case "CreateEnumStmt", "CreateRangeStmt":
		made("type", pgWords(node.list("typeName"))...)
	case "CreateDomainStmt":
		made("type", pgWords(node.list("domainname"))...)
	case "DefineStmt":
		if node["kind"] == "OBJECT_AGGREGATE" {
			made("function", strings.Join(pgWords(node.list("defnames")), ".")+"()")
		} else {
			made("type", pgWords(node.list("defnames"))...)
		}
	case "CreateFunctionStmt":
		if name := pgWords(node.list("funcname")); len(name) > 0 {
			made("function", name[len(name)-1]+"()")
		}
	case "RenameStmt":
		if node["renameType"] == "OBJECT_FUNCTION" {
			made("function", node.text("newname")+"()")
		} else {
			made("table", node.text("newname"))
		}
	case "CreateTrigStmt":
		for _, t := range node.list("transitionRels") {
			_, transition := unwrap(t)
			made("transition table", transition.text("name"))
		}
	}
}

// pgNode is a node of the parser's tree: a JSON object, inside of one with its kind as the key
// unless its place allows only one kind.
type pgNode map[string]any

// unwrap returns the node inside {"Kind": {…}}; the kind is "" without that.
func unwrap(tree any) (kind string, node pgNode) {
	m, _ := tree.(map[string]any)
	for key, value := range m {
		inner, isNode := value.(map[string]any)
		if len(m) == 1 && isNode && key[0] >= 'A' && key[0] <= 'Z' {
			return key, inner
		}
	}
	return "", m
}

func (n pgNode) node(key string) pgNode {
	_, inner := unwrap(n[key])
	return inner
}

func (n pgNode) list(key string) []any {
	l, _ := n[key].([]any)
	return l
}

func (n pgNode) text(key string) string {
	s, _ := n[key].(string)
	return s
}

func (n pgNode) number(key string) int {
	f, _ := n[key].(float64)
	return int(f)
}

func (n pgNode) keys() []string { return slices.Sorted(maps.Keys(n)) }

// pgWords returns the strings of a list that has only strings and stars.
func pgWords(list []any) []string {
	var found []string
	for _, i := range list {
		switch kind, node := unwrap(i); kind {
		case "String":
			found = append(found, node.text("sval"))
		case "A_Star":
			found = append(found, "*")
		default:
			return nil
		}
	}
	return found
}

// pgConstant returns the string that an expression consists of.
func pgConstant(expression any) (literal string, ok bool) {
	switch kind, node := unwrap(expression); kind {
	case "A_Const":
		literal, ok = node.node("sval")["sval"].(string)
	case "TypeCast":
		return pgConstant(node["arg"])
	}
	return literal, ok
}

// nonEmpty returns the words that are not empty.
func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}
