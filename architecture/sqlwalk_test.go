package architecture

import (
	"maps"
	"slices"
	"strings"
)

// walk finds the names in a node. It looks for what a name looks like and not for kinds of statements: a table has a relname, and
// whatever else has a name has a list of strings. So it also sees what nobody thought of.
func (r sqlReader) walk(kind string, node pgNode, at int, ctes []string) {
	at = r.at(node, at)
	if r.refuses(kind, node, r.lineAt(at)) {
		return // whatever stands below it
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
		r.name(r.lineAt(at), "table", said(node.text("catalogname"), schema, name)...)
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

// with walks the queries of a WITH clause, and returns the names that the statement below it knows. A query knows those before it and,
// unless the clause is recursive, neither itself nor those after it.
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

// child walks what stands under a key of a node.
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

// plainWords are the lists of strings that are no qualified name.
var plainWords = []string{
	"pk_attrs", "fk_attrs", "fk_del_set_cols", "keys", "including", "vals", "aliascolnames", "colnames", "colNames", "aliases",
	"cols", "columns", "indirection", "attlist", "va_cols", "search_col_list", "cycle_col_list", "args", "arg_names", "stat_types",
}

// members are the kinds of objects whose name is a table's and one word more.
var members = []string{"OBJECT_COLUMN", "OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE", "OBJECT_TABCONSTRAINT", "OBJECT_DOMCONSTRAINT"}

// words notes a list of strings as the name of what it stands for under its key.
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

// at is where a node stands in the text, or where its parent does.
func (r sqlReader) at(node pgNode, parent int) int {
	if l := node.number("location"); l > 0 && l <= len(r.text) {
		return l
	}
	return parent
}

// create notes what a statement makes, so that others may name it.
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

// pgNode is a node of the parser's tree: an object of JSON. A kind is written around it unless its place allows only one.
type pgNode map[string]any

// unwrap returns the node inside {"Kind": {…}}; the kind is empty if nothing is written around it.
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

// pgWords are the strings of a list that holds nothing else but stars.
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

// pgConstant is the string that an expression consists of.
func pgConstant(expression any) (literal string, ok bool) {
	switch kind, node := unwrap(expression); kind {
	case "A_Const":
		literal, ok = node.node("sval")["sval"].(string)
	case "TypeCast":
		return pgConstant(node["arg"])
	}
	return literal, ok
}

// said leaves out the words that are empty.
func said(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}
