package architecture

import (
	"path"
	"slices"
	"strings"
)

// layout refuses folders that are named after technical layers, and files that are too long to read
// at once.
var layout = rule{
	name: "layout",
	why: "a folder per layer spreads each change over all of them, and no part can leave with what it needs; " +
		`see "Boundaries by technical layer" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		var seen []string
		for _, file := range t.GoFiles(true) {
			for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
				if slices.Contains(seen, dir) {
					continue
				}
				seen = append(seen, dir)
				f.subjects++
				name := path.Base(dir)
				if level(dir) == len(tower) {
					f.add(dir, "is no floor of the tower: "+strings.Join(tower, ", "),
						"move it into the lowest of them that needs it")
					continue
				}
				inside := under(dir, "modules") && strings.Count(dir, "/") > 1 // a module may be called delivery
				if slices.Contains(layers, name) || inside && slices.Contains(layersOfModules, name) {
					f.add(dir, name+" is a technical layer, or a catch-all",
						"move the code to its module's folder, into a file named after the use case; "+
							"what every module needs is a package of platform/, named after what it does")
				}
			}
			if generated(t, file) && !strings.Contains(file, "/internal/db/") {
				f.add(file, "says that it is generated", "remove the line: rules and linters leave generated files out")
			}
			long := strings.Count(t[file], "\n") > maxLines
			if long && !generated(t, file) && !isTest(file) {
				f.add(file, "has more than 300 lines", "split it by topic")
			}
		}
		return f
	},
}

const maxLines = 300

var layers = []string{
	"adapter", "adapters", "app", "application", "common", "controller", "controllers", "core", "dao", "domain", "dto",
	"entities", "entity", "handler", "handlers", "helper", "helpers", "infra", "infrastructure", "interfaces", "lib",
	"managers", "misc", "model", "models", "persistence", "pkg", "ports", "presentation", "repo", "repos",
	"repositories", "repository", "service_layer", "services", "shared", "types", "usecase", "usecases", "util",
	"utils", "validators",
}

// layersOfModules are layers inside of a module; elsewhere they may name a thing, such as
// platform/service.
var layersOfModules = []string{"delivery", "service"}

func generated(t Tree, file string) bool { return strings.HasPrefix(t[file], "// Code generated ") }
