package architecture

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"text/template"
)

// Derived returns the files that follow from the modules, by their names: their contracts, the
// page's generated parts, what has a template beside it (FILE.tmpl), and the façade's tables, in
// which a new module gets a route and everything else stays. deploy/compose.yaml has a table, too,
// once a module has left the monolith. make generate writes them.
func (t Tree) Derived() (map[string]string, error) {
	page := strings.ReplaceAll(t[Readme], "\r\n", "\n")
	for name, text := range t.Model().Generated() {
		filled, ok := Fill(page, name, text)
		if !ok {
			return nil, fmt.Errorf("%s has no lines <!-- %s --> and <!-- /%s --> to write between", Readme, name, name)
		}
		page = filled
	}
	files := t.Contracts()
	files[Readme] = page
	var links []string
	for _, m := range t.Modules() {
		links = append(links, fmt.Sprintf("[%[1]s](modules/%[1]s)", m))
	}
	if filled, ok := Fill(t["README.md"], "modules", strings.Join(links, ", ")+"\n"); ok { // a product's own page may be without
		files["README.md"] = filled
	}
	for _, name := range t.Below("deploy", ".tmpl") {
		text, err := t.render(name)
		if err != nil {
			return nil, err
		}
		files[strings.TrimSuffix(name, ".tmpl")] = text
	}
	tables, left := t.routeTables(), t.ledger().Left()
	if _, there := t[mixedTable]; !there && len(left) > 0 {
		tables = append(tables, mixedTable)
	}
	for _, name := range tables {
		text, there := t[name]
		if !there {
			text = mixedBegins
		}
		text, err := complete(text, t.Modules(), left, t.internal)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = text
	}
	return files, nil
}

// deployment is what a template reads, and beside it the functions env, which returns the file of
// settings of a name if it has one, password, the variable with that of a module's role, and ports,
// those that a module's simulated systems publish.
type deployment struct {
	Sandbox                 bool
	Modules, Left, Monolith []string // all, those that the monolith has lost, and those that it runs
	Alone                   []string // those with processes of their own, see Run
	Table, Volume           string
}

// Database returns the address of a module's database: one of its own, once it has left.
func (d deployment) Database(module string) string {
	if slices.Contains(d.Left, module) {
		return "postgres-2:5432/" + module
	}
	return "postgres:5432/shop"
}

// Run returns the deployment with processes for some modules, the façade's table, by its name in
// deploy/routes, and the broker's volume.
func (d deployment) Run(alone []string, table, volume string) deployment {
	d.Alone, d.Table, d.Volume = alone, table, volume
	return d
}

// render executes a template, which may use those that are defined in the others of its folder.
func (t Tree) render(name string) (string, error) {
	folder := path.Dir(name)
	pages := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"upper": strings.ToUpper,
		"env": func(module string) string {
			file := "env/" + module + ".env"
			if _, ok := t[path.Join(folder, file)]; !ok {
				return ""
			}
			return file
		},
		"password": func(module, kind string) string { return "${" + strings.ToUpper(module+"_"+kind) + "_PASSWORD}" },
		"ports": func(module string) []string {
			return strings.Fields(t[path.Join(folder, "env/"+module+".sandbox.ports")])
		},
	})
	for _, file := range t.Match(folder + "/*.tmpl") {
		if _, err := pages.New(file).Parse(t[file]); err != nil {
			return "", fmt.Errorf("read a template: %w", err)
		}
	}
	left := t.ledger().Left()
	_, sandbox := t["test/sandbox/main.go"]
	var text strings.Builder
	err := pages.ExecuteTemplate(&text, name, deployment{
		Sandbox: sandbox && len(t.Match("modules/*/*sim/*.go")) > 0,
		Modules: t.Modules(),
		Left:    left,
		Monolith: slices.DeleteFunc(t.Modules(), func(m string) bool {
			return slices.Contains(left, m)
		}),
	})
	return text.String(), err
}

// Outdated returns the contracts that are committed and no longer follow from a module.
func (t Tree) Outdated(files map[string]string) []string {
	committed := append(t.Match(contractsFolder+"/*"+schemaSuffix), t.Match(contractsFolder+"/*"+openapiSuffix)...)
	return slices.DeleteFunc(committed, func(name string) bool { _, follows := files[name]; return follows })
}
