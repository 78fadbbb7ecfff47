package architecture

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// requires checks the go.mod files, which decide what may be imported: every Go module belongs to
// the product, and a bounded context requires only contracts of the others.
var requires = rule{
	name: "requires",
	why: "what a module's go.mod requires must be available wherever it is built, and no rule reads our code " +
		"under another path; " +
		`see "A distributed monolith" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for file := range t {
			if path.Base(file) != "go.mod" {
				continue
			}
			f.subjects++
			folder := path.Dir(file)
			is, want := moduleLine.FindStringSubmatch(t[file]), path.Join(Path, folder)
			if is == nil || is[1] != want {
				f.add(file, "does not have the module path "+want,
					"write: module "+want+"; the rules find an import's code by its path")
			}
			t.unused(file, &f)
			module, contract := owner(folder)
			if module == "" {
				continue
			}
			for _, required := range requirement.FindAllStringSubmatch(goModComment.ReplaceAllString(t[file], ""), -1) {
				if needs, ours := Inside(required[1] + "/"); ours && (contract || !mayRequire(path.Clean(needs))) {
					f.add(file, fmt.Sprintf("requires %s, which the module %s cannot take along", required[1], module),
						"remove it: a module requires contracts, platform, devkit and migrations, and "+
							"a contract requires nothing")
				}
			}
		}
		slices.SortFunc(f.broken, func(a, b violation) int { return strings.Compare(a.at+a.what, b.at+b.what) })
		return f
	},
}

var (
	moduleLine   = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)"?`)
	goModComment = regexp.MustCompile(`//[^\n]*`)
	// requirement matches a path before a version; in a replace the path is before an arrow.
	requirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?"?([^\s"()]+)"?\s+v[0-9]\S*\s*$`)
)

// unused refuses a direct requirement that no file of the unit imports, which go mod tidy would
// drop.
func (t Tree) unused(file string, f *findings) {
	folder := path.Dir(file)
	var imported []string
	for _, source := range t.GoFiles(true) {
		if t.unitOf(source) == folder {
			for _, i := range t.Imports(source) {
				imported = append(imported, i.Path)
			}
		}
	}
	for _, required := range requirement.FindAllStringSubmatch(t[file], -1) { // those that say // indirect do not match
		used := func(i string) bool { return under(i, required[1]) }
		if !slices.ContainsFunc(imported, used) {
			f.add(file, "requires "+required[1]+", which nothing imports", "run make generate, which tidies")
		}
	}
}

// mayRequire reports whether a module's go.mod may have the folder.
func mayRequire(folder string) bool {
	_, contract := owner(folder)
	return contract || folder == "migrations" || folder == "platform" || folder == "platform/devkit"
}
