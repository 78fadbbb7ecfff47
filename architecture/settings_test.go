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
			for _, file := range append(t.sourcesBelow("modules/"+m), t.sourcesBelow("cmd/"+m)...) {
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
					if name := dotted(n); under(file, "modules") && environment.MatchString(name) {
						f.add(At(n), "reads the environment, by "+name,
							"take it as a field of the module's Config, which the process sets")
					}
					return true
				})
			}
		}
		for _, folder := range []string{"modules", "cmd", "platform", "tools"} {
			for _, file := range t.sourcesBelow(folder) {
				if !under(file, "platform/postgres") && !under(file, "platform/devkit") {
					readsAddress(t, file, &f)
				}
			}
		}
		return f
	},
}

var (
	environmentTag = regexp.MustCompile(`\benv:"([^",]*)`)
	databaseURL    = regexp.MustCompile(`\b([A-Z0-9_]*)_(?:DATABASE|MIGRATE)_URL\b`)
	environment    = regexp.MustCompile(`^os\.(Getenv|LookupEnv|Environ|ExpandEnv)$|^process\.Value$`)
)

// addresses matches what turns a connection string into a connection or a configuration.
var addresses = regexp.MustCompile(`^(pgx|pgconn)\.(Connect|ParseConfig)(WithOptions)?$|^pgxpool\.(New|ParseConfig)$`)

// connections matches all that opens one.
var connections = regexp.MustCompile(`^(pgx|pgconn)\.Connect|^pgxpool\.New|^pgxpool\.ParseConfig`)

func readsAddress(t Tree, file string, f *findings) {
	ast.Inspect(t.Go(file), func(n ast.Node) bool {
		switch name := dotted(n); {
		case under(file, "modules") && connections.MatchString(name):
			f.add(At(n), "opens a connection of its own, by "+name,
				"use the database that New is given, whose connections the process bounds and closes")
		case addresses.MatchString(name):
			f.add(At(n), "parses a connection string, by "+name,
				"let platform/postgres open it, so that every connection has the same settings")
		}
		return true
	})
}
