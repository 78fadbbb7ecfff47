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
// scripts for every schema. It reads words. What PostgreSQL refuses to the module's own roles needs
// none, such as an unknown table or a foreign key to a schema without rights: TestPostgreSQLRefuses
// and sqlc, which knows only the module's own migrations, show that.
var sql = rule{
	name: "sql",
	why: "a table that two modules use changes only with both, and their schemas can never be moved apart; " +
		"see \"A shared database\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		for _, file := range slices.Sorted(maps.Keys(t)) {
			if path.Ext(file) == ".sql" &&
				!slices.ContainsFunc(sqlHomes, func(home string) bool { return under(file, home) }) {
				f.add(file, "is SQL that belongs to no module",
					"move it to the module that owns its tables: migrations/<module> or its queries.sql; "+
						"what needs two modules calls both through their contracts")
			}
		}
		tables := map[string][]string{"": t.platformTables()}
		for _, m := range t.Modules() {
			tables[m] = t.Tables(m)
		}
		for _, file := range sqlFiles(t) {
			f.subjects++
			text := uncommented(t[file])
			s := sqlText{findings: &f, file: file, text: text, seen: map[string]bool{}}
			s.words()
			s.names(tables)
		}
		return f
	},
}

// sqlHomes are the folders with SQL that this rule reads, or only tests.
var sqlHomes = []string{"migrations", "modules", "platform", "architecture", "test", "lab"}

// sqlFiles returns all SQL files of modules and platform.
func sqlFiles(t Tree) []string {
	return slices.Concat(t.Below("migrations", ".sql"), t.Below("modules", ".sql"), t.Below("platform", ".sql"))
}

// uncommented replaces comments by as many ends of lines. What looks like one in a string stays.
func uncommented(text string) string {
	return stringOrComment.ReplaceAllStringFunc(text, func(c string) string {
		if strings.HasPrefix(c, "'") {
			return c
		}
		return strings.Repeat("\n", strings.Count(c, "\n"))
	})
}

var stringOrComment = regexp.MustCompile(`(?s)'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/`)

// sqlWords are what no module's SQL may do, whatever it names. The first group is what is refused.
var sqlWords = []struct {
	match     *regexp.Regexp
	allowed   []string
	what, fix string
}{
	{regexp.MustCompile(`(?i)(\bsearch_path(?:\s+from\s+current)?)`), []string{"search_path from current"},
		"sets %s, so its names no longer mean the module's own schema",
		"leave it out: the module's roles have the right one (a function may SET search_path FROM CURRENT)"},
	{regexp.MustCompile(begins + `set\s+((?:(?:local|session)\s+)?role|session\s+authorization)\b`), nil,
		"sets %s", "leave it out: the process connects with the module's own role"},
	{regexp.MustCompile(`(?i)\b((?:create|alter|drop|import|reassign|comment\s+on)\s+(?:role|user|group|schema|extension|server|foreign|database|` +
		`event\s+trigger|publication|subscription|tablespace|owned|language|system))\b`), nil,
		"says %s, which is about more than the module's schema",
		"create only tables, indexes and the like in the module's own schema: what a database or server has " +
			"once is created in platform/postgres/provision.go (an extension with SCHEMA pg_catalog)"},
	{regexp.MustCompile(`(?i)\b(grant)\s+\w`), nil, "has a %s",
		"leave it out: seam grants the module's own roles their rights, and other modules use the contract"},
	{regexp.MustCompile(`(?i)\balter\b[^;]*\b(set\s+schema)\b`), nil, "says %s, which moves it into another schema",
		"leave it where the module's role made it"},
	{regexp.MustCompile(begins + `(listen|notify)\b|\b(pg_notify)\s*\(`), nil, "notifies through a channel, by %s",
		"publish an event with PublishTx of its outbox: a channel belongs to the whole database, " +
			"so it is lost when the schema moves"},
	{regexp.MustCompile(`(?i)\b(dblink\w*|(?:query|cursor|schema|database|table)_to_xml\w*|ts_stat|crosstab\w*|connectby|` +
		`pg_read_\w+|pg_ls_\w+|lo_import|lo_export)\s*\(`), nil,
		"calls %s, which reads past the module's tables", "write the statement itself into the module's queries.sql"},
	{regexp.MustCompile(`(?i)\bcopy\b[^;]*?\b(?:from|to)\s+(program\b|')`), nil, "copies from or to the server's own files",
		"insert by a query of the module, with :copyfrom for many rows"},
	{regexp.MustCompile(`(?i)\bexecute\b\s*(\w+|\(|\$|'(?:[^']|'')*'\s*\|\|)`), []string{"function", "procedure"},
		"executes %s, which no rule reads as SQL", "write the statement itself"},
	{regexp.MustCompile(`(?i)\blanguage\s+'?(c|internal|pl\w+)\b`), []string{"plpgsql"}, "has a body in %s, which no rule can read",
		"write it in SQL or PL/pgSQL, or better in Go: business rules belong to the module's code"},
	{regexp.MustCompile(`(?i)\balter\s+(?:column\s+)?(\w+)\s+(?:set\s+data\s+)?type\b`), nil, "changes the type of the column %s", expand},
	{regexp.MustCompile(`(?i)\brename\s+(?:column\s+)?(\w+)\s+to\b`), []string{"constraint"}, "renames the column %s", expand},
}

// begins matches what is before a statement.
const begins = `(?i)(?:\A|;|\b(?:begin|then|else|loop)\b|\$\w*\$)\s*`

const expand = "add a column, fill it, and drop the old one in a later release: processes of the release before still " +
	"serve, and a statement that they have prepared fails once on each connection when its columns change (SQLSTATE 0A000)"

var (
	// named matches a name where only that of a table, a view, a function or a type can be.
	named = regexp.MustCompile(`(?i)\b(?:from|join|into|update|(?:table|view)(?:\s+if\s+(?:not\s+)?exists)?|references|only|like|type|nextval|using|on|function|procedure|sequence)` +
		`\b[\s('"]+((?:\w+"?\s*\.\s*"?)?\w+)`)
	rowType = regexp.MustCompile(`(?i)\b(\w+(?:\.\w+)?)(?:%rowtype|\.\w+%type)`)
	common  = regexp.MustCompile(`(?i)\b(\w+)\s+(?:\([^)]*\)\s*)?as\s+(?:(?:not\s+)?materialized\s+)?\(`)
)

// sqlText is the text of a file, of which each line gets one message.
type sqlText struct {
	*findings
	file, text string
	seen       map[string]bool
}

func (s sqlText) found(at int, what, fix string) {
	where := fmt.Sprintf("%s:%d", s.file, 1+strings.Count(s.text[:at], "\n"))
	if !s.seen[where] {
		s.seen[where] = true
		s.add(where, what, fix)
	}
}

// homeSQL lifts a fence by the statements that the fence has kept, with rights that its caller has
// not: so it executes text, and no table of the caller's may come before its own.
const homeSQL = "platform/postgres/schema/0008_home.sql"

// words refuses what no module's SQL may do, whatever it names.
func (s sqlText) words() {
	if s.file == homeSQL {
		return
	}
	for _, w := range sqlWords {
		for _, at := range w.match.FindAllStringSubmatchIndex(s.text, -1) {
			from, to := max(at[2], at[len(at)-2]), max(at[3], at[len(at)-1]) // of the group that matched
			words := strings.ToLower(strings.Join(strings.Fields(s.text[from:to]), " "))
			if !slices.Contains(w.allowed, words) {
				s.found(from, fmt.Sprintf(w.what, words), w.fix)
			}
		}
	}
}

// names refuses names of other modules' schemas, tables and roles, and a schema in front of a
// name. The tables are those of each module, and under "" those that every schema has.
func (s sqlText) names(tables map[string][]string) {
	me, _ := ownerOfFile(s.file)
	text := s.text
	own := slices.Concat(tables[""], tables[me])
	for _, m := range common.FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`(?i)\b` + m[1] + `\s+(?:\([^)]*\)\s*)?as\s+(?:(?:not\s+)?materialized\s+)?\([^()]*\bfrom\s+` + m[1] + `\b`).MatchString(text) {
			own = append(own, m[1]) // a common table, unless it reads what has its name
		}
	}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(tables)), func(m string) bool { return m == me || m == "" })
	for _, other := range others {
		qualified := regexp.MustCompile(`(?i)\b` + other + `"?\s*\.\s*"?\w+(\.v\d)?|\b(?:\w+_)?` + other + `_(?:rt|migrate|owner)\b`)
		for _, at := range qualified.FindAllStringSubmatchIndex(text, -1) {
			_, name, _ := strings.Cut(strings.ReplaceAll(text[at[0]:at[1]], `"`, ""), ".")
			quoted := at[0] > 0 && text[at[0]-1] == '\''
			if at[2] < 0 && (!quoted || strings.HasPrefix(text[at[1]:], "'::reg") || slices.Contains(tables[other], strings.TrimSpace(name))) { // no topic, and no word like one
				s.found(at[0], "names "+text[at[0]:at[1]]+": that is the module "+other+"'s", instead(me, other))
			}
		}
	}
	for _, at := range slices.Concat(named.FindAllStringSubmatchIndex(text, -1), rowType.FindAllStringSubmatchIndex(text, -1)) {
		name := strings.ToLower(strings.ReplaceAll(text[at[2]:at[3]], `"`, ""))
		schema, rest, qualified := strings.Cut(name, ".")
		switch {
		case schema == "pg_catalog" || schema == "information_schema" || schema == "new" || schema == "old" || slices.Contains(own, name):
		case qualified && schema == me && me != "":
			if sqlKeyword.MatchString(text[:at[2]]) {
				s.found(at[2], "names its own schema in "+name,
					"write "+rest+": search_path finds it wherever the schema is, and sqlc's names stay short")
			}
		case qualified && sqlKeyword.MatchString(text[:at[2]]):
			s.found(at[2], "names "+name+", with a schema", "write "+rest+", and create it in a migration of the module")
		default:
			for _, other := range others {
				if slices.Contains(tables[other], name) {
					s.found(at[2], "names "+name+": that is a table of the module "+other, instead(me, other))
				}
			}
		}
	}
}

// sqlKeyword matches a text that ends before a name that may have a schema, and no column.
var sqlKeyword = regexp.MustCompile(`(?i)\b(?:from|join|into|update|table|references|only|nextval|function|procedure|sequence)\b[\s('"]+$`)

// instead returns what to do instead of using another module's schema.
func instead(me, other string) string {
	if me == "" {
		return "move it into modules/" + other + ": platform does not depend on modules"
	}
	return "call " + other + " through " + other + "api, or store what its events contain in a table of " + me
}

// platformTables returns the tables of every schema.
func (t Tree) platformTables() (tables []string) {
	for _, file := range t.Below("platform", ".sql") {
		tables = append(tables, tablesOf(t[file])...)
	}
	return tables
}
