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
			for _, file := range append(t.Below("modules/"+m, ".go"), t.Below("cmd/"+m, ".go")...) {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
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
					if s, ok := n.(*ast.SelectorExpr); ok && under(file, "modules") {
						x, ok := s.X.(*ast.Ident)
						if ok && (x.Name == "os" && environment[s.Sel.Name] || x.Name == "process" && s.Sel.Name == "Value") {
							f.add(At(n), "reads the environment, by "+x.Name+"."+s.Sel.Name,
								"take it as a field of the module's Config, which the process sets")
						}
					}
					return true
				})
			}
		}
		for _, folder := range []string{"modules", "cmd", "platform", "tools"} {
			for _, file := range t.Below(folder, ".go") {
				if !strings.HasSuffix(file, "_test.go") && !under(file, "platform/postgres") &&
					!under(file, "platform/devkit") {
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
	environment    = map[string]bool{"Getenv": true, "LookupEnv": true, "Environ": true, "ExpandEnv": true}
)

// addresses matches what turns a connection string into a connection or a configuration.
var addresses = regexp.MustCompile(`^(pgx|pgconn)\.(Connect|ParseConfig)(WithOptions)?$|^pgxpool\.(New|ParseConfig)$`)

// connections matches all that opens one.
var connections = regexp.MustCompile(`^(pgx|pgconn)\.Connect|^pgxpool\.New|^pgxpool\.ParseConfig`)

func readsAddress(t Tree, file string, f *findings) {
	ast.Inspect(t.Go(file), func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			x, ok := s.X.(*ast.Ident)
			if ok && under(file, "modules") && connections.MatchString(x.Name+"."+s.Sel.Name) {
				f.add(At(n), "opens a connection of its own, by "+x.Name+"."+s.Sel.Name,
					"use the database that New is given, whose connections the process bounds and closes")
			} else if ok && addresses.MatchString(x.Name+"."+s.Sel.Name) {
				f.add(At(n), "parses a connection string, by "+x.Name+"."+s.Sel.Name,
					"let platform/postgres open it, so that every connection has the same settings")
			}
		}
		return true
	})
}
