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
// which a new module gets a route and everything else stays. make generate writes them.
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
	for _, name := range append(t.Match("deploy/routes.yaml"), t.Match("deploy/routes/*.yaml")...) {
		text, err := complete(t[name], t.Modules())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = text
	}
	return files, nil
}

// render executes a template. In it .Modules are all modules, .Monolith those that the monolith
// runs, .Left the others, .Sandbox whether there is one, env of a name is its file of settings, if
// it has one, and ports of a module are those that its simulated systems publish.
func (t Tree) render(name string) (string, error) {
	functions := template.FuncMap{
		"upper": strings.ToUpper,
		"env": func(module string) string {
			file := "env/" + module + ".env"
			if _, ok := t[path.Join(path.Dir(name), file)]; !ok {
				return ""
			}
			return file
		},
		"ports": func(module string) []string {
			return strings.Fields(t[path.Join(path.Dir(name), "env/"+module+".sandbox.ports")])
		},
	}
	page, err := template.New(name).Funcs(functions).Option("missingkey=error").Parse(t[name])
	if err != nil {
		return "", fmt.Errorf("read a template: %w", err)
	}
	ledger, _ := ParseLedger(t[ledgerFile]) // rule ledger reports one that cannot be read
	var text strings.Builder
	_, sandbox := t["test/sandbox/main.go"]
	sandbox = sandbox && len(t.Match("modules/*/*sim/*.go")) > 0
	err = page.Execute(&text, map[string]any{
		"Sandbox": sandbox,
		"Modules": t.Modules(),
		"Left":    ledger.Left(),
		"Monolith": slices.DeleteFunc(t.Modules(), func(m string) bool {
			return slices.Contains(ledger.Left(), m)
		}),
	})
	return text.String(), err
}

// Outdated returns the contracts that are committed and no longer follow from a module.
func (t Tree) Outdated(files map[string]string) []string {
	committed := append(t.Match(contractsFolder+"/*"+schemaSuffix), t.Match(contractsFolder+"/*"+openapiSuffix)...)
	return slices.DeleteFunc(committed, func(name string) bool { _, follows := files[name]; return follows })
}
