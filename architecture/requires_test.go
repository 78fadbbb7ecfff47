package architecture

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// requires checks the go.mod files, which decide what may be imported: every Go module belongs to
// the shop, and a bounded context requires only contracts of the others.
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
			is, want := moduleLine.FindStringSubmatch(t[file]), path.Join(Shop, folder)
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
	refuses: []plant{
		{name: "a module requires another", file: "modules/orders/go.mod", old: "require (",
			text: "require (\n\texample.com/shop/modules/payments v0.0.0",
			want: "modules/orders/go.mod: requires example.com/shop/modules/payments"},
		{name: "a module requires the shop around it", file: "modules/orders/go.mod",
			text: "require example.com/shop v0.0.0",
			want: "requires example.com/shop, which"},
		{name: "a contract requires another", file: "modules/orders/ordersapi/go.mod",
			text: "require example.com/shop/modules/payments/paymentsapi v0.0.0",
			want: "requires example.com/shop/modules/payments/paymentsapi"},
		{name: "a requirement that nothing needs", file: "modules/payments/go.mod",
			text: "require example.com/library v1.0.0", want: "requires example.com/library, which nothing imports"},
		{name: "a shared kernel with another module path", file: "kernel/go.mod", text: "module example.com/kernel\n",
			want: "kernel/go.mod: does not have the module path example.com/shop/kernel"},
	},
	accepts: []plant{
		{name: "a module requires a contract", file: "modules/payments/go.mod",
			text: "require example.com/shop/modules/inventory/inventoryapi v0.0.0 // indirect"},
		{name: "a module requires a library of a library", file: "modules/payments/go.mod",
			text: "require example.com/library v1.0.0 // indirect"},
		{name: "a comment", file: "modules/payments/go.mod",
			text: "// example.com/shop/modules/orders v0.0.0 is not required here.\n"},
	},
}

var (
	moduleLine   = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)"?`)
	goModComment = regexp.MustCompile(`//[^\n]*`)
	// requirement matches a path before a version; in a replace the path is before an arrow.
	requirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?"?([^\s"()]+)"?\s+v[0-9]\S*\s*$`)
)

// unused refuses a direct requirement that no file of the unit imports, which go mod tidy would drop.
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

// unitOf returns the folder of the go.mod that a file belongs to.
func (t Tree) unitOf(file string) string {
	folder := path.Dir(file)
	for folder != "." && t[folder+"/go.mod"] == "" {
		folder = path.Dir(folder)
	}
	return folder
}

// mayRequire reports whether a module's go.mod may have the folder.
func mayRequire(folder string) bool {
	_, contract := owner(folder)
	return contract || folder == "migrations" || folder == "platform" || folder == "platform/devkit"
}
