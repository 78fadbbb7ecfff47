package architecture

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// sql keeps all SQL to one schema: each module's migrations, queries and seeds, and platform's
// scripts for every schema.
var sql = rule{
	name: "sql",
	why: "a table that two modules use changes only with both, and their schemas can never be moved apart; " +
		"see \"A shared database\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		owners := readOwners(t)
		for _, file := range slices.Sorted(maps.Keys(t)) {
			if path.Ext(file) == ".sql" &&
				!slices.ContainsFunc(sqlHomes, func(home string) bool { return under(file, home) }) {
				f.add(file, "is SQL that belongs to no module",
					"move it to the module that owns its tables: migrations/<module> or its queries.sql; "+
						"what needs two modules calls both through their contracts")
			}
		}
		for _, file := range sqlFiles(t) {
			me, _ := ownerOfFile(file)
			s := readScript(neutral(file, t[file]))
			f.subjects += s.statements
			for _, b := range s.broken {
				f.add(fmt.Sprintf("%s:%d", file, b.line), b.what, b.fix)
			}
			for _, n := range s.names {
				at := fmt.Sprintf("%s:%d", file, n.line)
				what, fix := owners.judge(me, n)
				again := slices.ContainsFunc(f.broken, func(v violation) bool { return v.at == at && v.what == what })
				if what != "" && !again {
					f.add(at, what, fix)
				}
			}
		}
		return f
	},
	refuses: sqlRefuses,
	accepts: sqlAccepts,
}

// sqlHomes are the folders with SQL that this rule reads, or only tests.
var sqlHomes = []string{"migrations", "modules", "platform", "architecture", "test", "lab"}

// sqlFiles returns all SQL files of modules and platform.
func sqlFiles(t Tree) []string {
	return slices.Concat(t.Below("migrations", ".sql"), t.Below("modules", ".sql"), t.Below("platform", ".sql"))
}

// parameter matches sqlc's own syntax: @name, sqlc.arg(name) and the like.
var parameter = regexp.MustCompile(`@[A-Za-z_]\w*|sqlc\.\w+\([^)]*\)`)

// neutral replaces sqlc's syntax in a module's queries as sqlc does, and keeps the line numbers.
func neutral(file, text string) string {
	if !under(file, "modules") {
		return text
	}
	return parameter.ReplaceAllStringFunc(text,
		func(p string) string { return "$1" + strings.Repeat("\n", strings.Count(p, "\n")) })
}

// everySchema is the owner of what every schema has, such as outbox and inbox.
const everySchema = ""

// sqlOwners are the names that each module's migrations create, with their kind.
type sqlOwners map[string]map[string]string

// readOwners reads what the migrations of each module create, and platform for all.
func readOwners(t Tree) sqlOwners {
	owners := sqlOwners{}
	for _, file := range t.Match("migrations/*/*.sql") {
		owners.learn(path.Base(path.Dir(file)), readScript(t[file]))
	}
	for _, file := range t.Below("platform", ".sql") {
		owners.learn(everySchema, readScript(t[file]))
	}
	for _, file := range t.Match("platform/postgres/*.go") {
		if extension.MatchString(t[file]) {
			owners[everySchema][anyType] = "type"
		}
	}
	return owners
}

// extension matches a statement in Go that creates an extension. Its types are not known here, so
// then only PostgreSQL judges a type that no module creates.
var extension = regexp.MustCompile("[\"`]CREATE EXTENSION ")

const anyType = "*"

func (o sqlOwners) learn(owner string, s *script) {
	if o[owner] == nil {
		o[owner] = map[string]string{}
	}
	for name, kind := range s.makes {
		o[owner][name] = kind
	}
}

// has returns the kind of what an owner creates under a name, or "".
func (o sqlOwners) has(owner string, n sqlName) string {
	last := n.parts[len(n.parts)-1]
	switch n.kind {
	case "function":
		return o[owner][last+"()"]
	case "table", "type", "column":
		return o[owner][last]
	default:
		return o[owner][last] + o[owner][last+"()"]
	}
}

// judge returns what is wrong with a name in a module's SQL, and what to do instead, or nothing.
func (o sqlOwners) judge(me string, n sqlName) (what, fix string) {
	if len(n.parts) == 0 {
		return "", ""
	}
	full := strings.Join(n.parts, ".")
	schema, name := "", n.parts[len(n.parts)-1]
	if len(n.parts) > 1 {
		schema = n.parts[len(n.parts)-2]
	}
	foreign := schema != me && o[schema] != nil && schema != everySchema
	switch {
	case n.kind == "role":
		return o.role(me, name, n.where)
	case n.kind == "schema":
		return "names the schema " + name + n.where, "leave it out: search_path is the module's own schema"
	case n.kind == "literal" && (!foreign || o.has(schema, n) == ""), n.kind == "column" && !foreign && schema != me:
		return "", "" // not a name, or a field of a composite value
	case foreign:
		return "names " + full + n.where + ": that is the module " + schema + "'s", ask(me, schema, n.where)
	case schema == "pg_catalog" || schema == "information_schema":
		return "", ""
	case len(n.parts) > 1 && schema == me:
		return "names its own schema in " + full + n.where,
			"write " + name + ": search_path finds it wherever the schema is, and sqlc's names stay short"
	case len(n.parts) > 1:
		return "names " + full + n.where + ", with a schema",
			"write " + name + ", and create it in a migration of the module"
	case o.has(me, n) != "" || o.has(everySchema, n) != "":
		return "", ""
	}
	for _, other := range slices.Sorted(maps.Keys(o)) {
		if kind := o.has(other, n); kind != "" {
			return "names " + full + n.where + ": that is a " + kind + " of the module " + other,
				ask(me, other, n.where)
		}
	}
	if n.kind == "table" && !strings.HasPrefix(name, "pg_") && !o.implied(me, name) ||
		n.kind == "type" && !o.typed(name) {
		fix := "create it in a migration of the module; use another module through its contract"
		if n.kind == "type" {
			fix = "create it in a migration of the module; an extension's type is accepted once " +
				"platform/postgres/provision.go has CREATE EXTENSION … SCHEMA pg_catalog, which is in every search_path"
		}
		return "names the " + n.kind + " " + name + n.where + ", which " + makers(me) + " do not create", fix
	}
	return "", ""
}

// ask returns what to do instead of using another module's schema.
func ask(me, other, where string) string {
	switch {
	case me == everySchema:
		return "move it into modules/" + other + ": platform does not depend on modules"
	case where == " in a foreign key":
		return "keep the id without a foreign key, and listen to " + other + "'s events for changes of the row"
	default:
		return "call " + other + " through " + other + "api, or store what its events contain in a table of " + me
	}
}

func makers(me string) string {
	if me == everySchema {
		return "the scripts in platform/postgres/schema"
	}
	return "migrations/" + me + " and platform/postgres/schema"
}

// role returns what is wrong with naming a role.
func (o sqlOwners) role(me, name, where string) (what, fix string) {
	for _, other := range slices.Sorted(maps.Keys(o)) {
		if other != me && other != everySchema && slices.Contains(strings.Split(name, "_"), other) {
			return "names " + name + where + ": that is a role of the module " + other, noGrant
		}
	}
	return "names the role " + name + where + ", which has another prefix in another database", noGrant
}

// implied reports whether PostgreSQL creates the name with one of the module's tables, as the index
// lines_pkey.
func (o sqlOwners) implied(me, name string) bool {
	for _, owner := range []string{me, everySchema} {
		for table, kind := range o[owner] {
			if kind == "table" && strings.HasPrefix(name, table+"_") {
				return true
			}
		}
	}
	return false
}

// typed reports whether a type is PostgreSQL's own. The parser has qualified those with a standard
// name, as integer.
func (o sqlOwners) typed(name string) bool {
	return strings.HasPrefix(name, "pg_") || slices.Contains(strings.Fields(builtin), name) ||
		o[everySchema][anyType] != ""
}

const builtin = `
	any anyarray anycompatible anycompatiblearray anycompatiblemultirange anycompatiblenonarray anycompatiblerange
	anyelement anyenum anymultirange anynonarray anyrange bit bool box bpchar bytea char cid cidr circle cstring date
	datemultirange daterange event_trigger float4 float8 fdw_handler index_am_handler inet int2 int2vector int4
	int4multirange int4range int8 int8multirange int8range internal interval json jsonb jsonpath language_handler line
	lseg macaddr macaddr8 money name numeric nummultirange numrange oid oidvector path point polygon record refcursor
	regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole
	regtype text tid time timestamp timestamptz timetz trigger tsmultirange tsquery tsrange tstzmultirange tstzrange
	tsvector txid_snapshot unknown uuid varbit varchar void xid xid8 xml
	serial serial2 serial4 serial8 smallserial bigserial`
