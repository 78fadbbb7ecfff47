package architecture

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// modules checks that each module has all its parts besides the code, before it is extracted.
var modules = rule{
	name: "modules",
	why: "a module that lacks its own schema, role, page or way out can only live inside the monolith; " +
		`see "A shared database" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, m := range t.undeclared() {
			f.add("modules/"+m, "has no go.mod, so no rule sees that it is a module",
				"write modules/"+m+"/go.mod"+t.example("modules/%/go.mod", m, exists)+", and add ./modules/"+m+" to go.work")
		}
		for _, m := range t.Modules() {
			f.subjects++
			for _, part := range parts {
				if at := strings.ReplaceAll(part.at, "%", m); !part.there(t, m, at) {
					like := t.example(part.at, m, part.there)
					f.add(at, strings.ReplaceAll(part.what, "%", m), strings.NewReplacer("%", m, likeAnother, like).Replace(part.fix))
				}
			}
		}
		return f
	},
}

// example refers to the same part of another module that has it, for a message; "" if none has.
func (t Tree) example(at, module string, there func(t Tree, module, at string) bool) string {
	for _, other := range t.Modules() {
		if like := strings.ReplaceAll(at, "%", other); other != module && there(t, other, like) {
			return ", as in " + like
		}
	}
	return ""
}

func exists(t Tree, _, at string) bool { return t[at] != "" }

// likeAnother stands for a reference to another module's part.
const likeAnother = "{like another}"

// parts are the parts of every module; % stands for its name.
var parts = []struct {
	at, what, fix string
	there         func(t Tree, module, at string) bool
}{
	{
		"modules/%/README.md",
		"the module % has no canvas, or one without Owns, Publishes, Listens to, Tables and Rules",
		"write it, in at most 40 lines" + likeAnother,
		func(t Tree, _, at string) bool {
			for _, row := range []string{"Owns", "Publishes", "Listens to", "Tables", "Rules"} {
				if !strings.Contains(t[at], "| **"+row+"** |") {
					return false
				}
			}
			return true
		},
	},
	{
		"modules/%/README.md", "the row Rules of % names no file that exists",
		"link the file of the rules, as in [rules.go](rules.go): it imports the standard library only",
		func(t Tree, m, at string) bool {
			return !strings.Contains(t[at], "| **Rules** |") ||
				slices.ContainsFunc(t.GoFiles(false), func(file string) bool {
					return under(file, "modules/"+m) && rules(t, file)
				})
		},
	},
	{
		"modules/%/README.md", "the canvas of % has more than 40 lines",
		"keep what a newcomer needs, and move the rest beside the code",
		func(t Tree, _, at string) bool { return strings.Count(t[at], "\n") <= 40 },
	},
	{
		"migrations/%", "the module % has no schema",
		"write migrations/%/0001_%.sql and an embed.go" + likeAnother,
		func(t Tree, _, at string) bool {
			return len(t.Match(at+"/0001_*.sql")) > 0 && len(t.Match(at+"/*.go")) > 0
		},
	},
	{
		"cmd/%", "the module % has no process of its own",
		"write cmd/%/main.go" + likeAnother,
		func(t Tree, _, at string) bool { return len(t.Match(at+"/*.go")) > 0 },
	},
	{
		"cmd/monolith/main.go", "does not serve %",
		`add %migrations.FS to schemas, and the module in wire, by add("%", …)`,
		func(t Tree, m, _ string) bool {
			return isDecommissioned(t, m) || t[Described] == "" || t.Description(m).Module == m
		},
	},
	{
		"cmd/monolith/main.go", "has other migrations for % than migrations/%",
		"give %migrations.FS to it: the program would migrate another module's schema",
		func(t Tree, m, _ string) bool {
			var files []string
			for _, file := range t.Match("migrations/" + m + "/*.sql") {
				files = append(files, path.Base(file))
			}
			d := t.Description(m)
			return d.Module == "" || slices.Equal(d.Migrations, files)
		},
	},
	{
		"go.mod", "does not require and replace modules/%, or does not replace its contract",
		"add a require (v0.0.0) and a replace of " + Path + "/modules/% and a replace of its contract: " +
			"a build outside of the workspace needs them",
		func(t Tree, m, at string) bool {
			for _, mod := range modulesOf(t, m) {
				required := regexp.MustCompile(`(?m)^\s*(require\s+)?` + Path + "/" + mod + `\s+v`)
				replaced := regexp.MustCompile(`(?m)^\s*(replace\s+)?` +
					Path + "/" + mod + `\s+=>\s+\./` + mod + `(\s|$)`)
				if !replaced.MatchString(t[at]) || mod == "modules/"+m && !required.MatchString(t[at]) {
					return false
				}
			}
			return true
		},
	},
	{
		"go.work", "does not use modules/%, or its contract", "add ./modules/% (and ./modules/%/%api) to use",
		func(t Tree, m, at string) bool {
			return !slices.ContainsFunc(modulesOf(t, m), func(mod string) bool {
				return !regexp.MustCompile(`(?m)^\s*(use\s+)?\./` + mod + `(\s|$)`).MatchString(t[at])
			})
		},
	},
}

// undeclared returns the folders of modules/ with code and without a go.mod.
func (t Tree) undeclared() (found []string) {
	for _, file := range t.Below("modules", ".go") {
		name := strings.Split(file, "/")[1]
		if _, ok := t["modules/"+name+"/go.mod"]; !ok && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	return found
}

// modulesOf returns the folders of a module with a go.mod: its own and its contract's.
func modulesOf(t Tree, module string) []string {
	found := append(t.Match("modules/"+module+"/go.mod"), t.Match("modules/"+module+"/*/go.mod")...)
	for i, mod := range found {
		found[i] = strings.TrimSuffix(mod, "/go.mod")
	}
	return found
}
