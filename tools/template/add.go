package template

import (
	"embed"
	"fmt"
	"go/format"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/mod/modfile"
)

//go:embed all:module all:product
var moduleFiles embed.FS

// Module says what a new module is to have.
type Module struct {
	Name      string
	Publishes []string // topics of its own
	Listens   []string // topics, of contracts that there are
	Calls     []string // modules whose contract has a Client
}

// event is an event as Go code names it.
type event struct {
	Topic, Module, Package, Type, Handler string
}

// call is a call of another module.
type call struct {
	Module, Package, Type string
	Methods               []string
}

// page is what the templates of a module read.
type page struct {
	Path, Name                              string
	Publishes, Listens                      []event
	Calls                                   []call
	CallImports, ListenImports, TestImports []string
}

// With returns the files with one more module, which is wired into the monolith and has a process
// of its own. by lists what a person has to do, because the files are not as they were made.
func (f Files) With(m Module) (with Files, by []string, err error) {
	if err := f.check(m.Name); err != nil {
		return nil, nil, err
	}
	p, err := f.page(m)
	if err != nil {
		return nil, nil, err
	}
	with = maps.Clone(f)
	for from, to := range map[string]string{
		"module.go": "modules/%/module.go", "entry.go": "modules/%/entry.go", "events.go": "modules/%/events.go",
		"http.go": "modules/%/http.go", "module_test.go": "modules/%/module_test.go", "README.md": "modules/%/README.md",
		"queries.sql": "modules/%/queries.sql", "sqlc.yaml": "modules/%/sqlc.yaml",
		"db/db.go": "modules/%/internal/db/db.go", "db/models.go": "modules/%/internal/db/models.go",
		"db/queries.sql.go":   "modules/%/internal/db/queries.sql.go",
		"migrations/0001.sql": "migrations/%/0001_%.sql", "migrations/embed.go": "migrations/%/embed.go",
		"cmd/main.go": "cmd/%/main.go", "api/events.go": "modules/%/%api/events.go",
		"acceptance_test.go": "test/acceptance/%_test.go",
	} {
		if from == "api/events.go" && len(m.Publishes) == 0 {
			continue
		}
		text, err := render("module/"+from+".tmpl", p)
		if err == nil && strings.HasSuffix(from, ".go") {
			text, err = formatGo(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("write %s: %w", from, err)
		}
		with.set(strings.ReplaceAll(to, "%", m.Name), text)
	}
	if err := with.list(p); err != nil {
		return nil, nil, err
	}
	with.set(contextMap, strings.TrimRight(with[contextMap].Text, "\n")+"\n\n"+p.agreement())
	return with, with.wire(p), nil
}

// list adds the module and its contract to go.work, and writes a go.mod for each, with the versions
// that the platform has.
func (f Files) list(p page) error {
	work, err := modfile.ParseWork("go.work", []byte(f["go.work"].Text), nil)
	if err != nil {
		return fmt.Errorf("read go.work: %w", err)
	}
	platform, err := modfile.Parse("platform/go.mod", []byte(f["platform/go.mod"].Text), nil)
	if err != nil {
		return fmt.Errorf("read platform/go.mod: %w", err)
	}
	unit := "modules/" + p.Name
	head := func(unit string) string {
		return fmt.Sprintf("module %s/%s\n\n", p.Path, unit) + goLines(work)
	}
	var mod strings.Builder
	mod.WriteString(head(unit) + "\nrequire (\n")
	for _, r := range platform.Require {
		if !r.Indirect {
			fmt.Fprintf(&mod, "\t%s %s\n", r.Mod.Path, r.Mod.Version)
		}
	}
	units := slices.Concat([]string{p.Path + "/migrations", p.Path + "/platform", p.Path + "/platform/devkit"}, p.contracts())
	for _, own := range units {
		fmt.Fprintf(&mod, "\t%s v0.0.0\n", own)
	}
	mod.WriteString(")\n\nreplace (\n")
	for _, own := range units {
		to := "../../" + strings.TrimPrefix(own, p.Path+"/")
		fmt.Fprintf(&mod, "\t%s => %s\n", own, strings.Replace(to, "../../"+unit+"/", "./", 1))
	}
	f.set(unit+"/go.mod", mod.String()+")\n")
	if err := work.AddUse("./"+unit, ""); err != nil {
		return err
	}
	if len(p.Publishes) > 0 {
		contract := unit + "/" + p.Name + "api"
		f.set(contract+"/go.mod", head(contract))
		if err := work.AddUse("./"+contract, ""); err != nil {
			return err
		}
	}
	work.SortBlocks()
	f.set("go.work", string(modfile.Format(work.Syntax)))
	return nil
}

// goLines are the lines of a go.mod that say which Go it is for.
func goLines(work *modfile.WorkFile) string {
	lines := "go " + work.Go.Version + "\n"
	if work.Toolchain != nil {
		lines += "\ntoolchain " + work.Toolchain.Name + "\n"
	}
	return lines
}

// contracts are the contracts that the module imports, each once.
func (p page) contracts() []string {
	all := slices.Concat(p.CallImports, p.ListenImports)
	if len(p.Publishes) > 0 {
		all = append(all, p.Path+"/modules/"+p.Name+"/"+p.Name+"api")
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// page finds the events and clients that a module needs in the contracts of the others.
func (f Files) page(m Module) (page, error) {
	p := page{Path: f.Path(), Name: m.Name}
	for _, topic := range m.Publishes {
		parts := topicOf.FindStringSubmatch(topic)
		if parts == nil || parts[1] != m.Name {
			return p, fmt.Errorf("%s cannot be published by %s: write %s.happened.v1, with small letters", topic, m.Name, m.Name)
		}
		p.Publishes = append(p.Publishes, event{Topic: topic, Module: m.Name, Package: m.Name + "api", Type: camel(parts[2])})
	}
	known := append(f.events(), p.Publishes...)
	for _, topic := range m.Listens {
		i := slices.IndexFunc(known, func(e event) bool { return e.Topic == topic })
		if i < 0 {
			return p, fmt.Errorf("no module publishes %s; there are %s", topic, topicsOf(known))
		}
		e := known[i]
		e.Handler = "on" + camel(e.Module) + e.Type
		p.Listens = append(p.Listens, e)
		contract := p.Path + "/modules/" + e.Module + "/" + e.Package
		if !slices.Contains(p.ListenImports, contract) {
			p.ListenImports = append(p.ListenImports, contract)
		}
	}
	p.TestImports = p.ListenImports
	for _, called := range m.Calls {
		c, err := f.client(called)
		if err != nil {
			return p, err
		}
		p.Calls = append(p.Calls, c)
		p.CallImports = append(p.CallImports, p.Path+"/modules/"+c.Module+"/"+c.Package)
	}
	return p, nil
}

var topicOf = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([a-z][a-z0-9_]*)\.v[0-9]+$`)

func topicsOf(events []event) string {
	var topics []string
	for _, e := range events {
		topics = append(topics, e.Topic)
	}
	if len(topics) == 0 {
		return "none"
	}
	return strings.Join(topics, ", ")
}

// agreement is the module's entry in the context map.
func (p page) agreement() string {
	var text strings.Builder
	list := func(events []event) string {
		return "[" + strings.ReplaceAll(topicsOf(events), "none", "") + "]"
	}
	public := slices.DeleteFunc(slices.Clone(p.Publishes), func(e event) bool {
		return slices.ContainsFunc(p.Listens, func(l event) bool { return l.Topic == e.Topic })
	})
	if len(p.Listens)+len(p.Calls)+len(public) == 0 {
		return p.Name + ": {}\n"
	}
	fmt.Fprintf(&text, "%s:\n", p.Name)
	if len(p.Listens) > 0 {
		fmt.Fprintf(&text, "  listens_to: %s\n", list(p.Listens))
	}
	if len(p.Calls) > 0 {
		text.WriteString("  calls:\n")
		for _, c := range p.Calls {
			fmt.Fprintf(&text, "    %s: to be said, why an event will not do\n", c.Module)
		}
	}
	if len(public) > 0 {
		text.WriteString("  public:\n")
		for _, e := range public {
			fmt.Fprintf(&text, "    %s: to be said, who will listen\n", e.Topic)
		}
	}
	return text.String()
}

func render(name string, p any) (string, error) {
	text, err := moduleFiles.ReadFile(name)
	if err != nil {
		return "", err
	}
	t, err := template.New(name).Funcs(template.FuncMap{"upper": strings.ToUpper, "camel": camel}).Parse(string(text))
	if err != nil {
		return "", err
	}
	var filled strings.Builder
	err = t.Execute(&filled, p)
	return filled.String(), err
}

func formatGo(text string) (string, error) {
	formatted, err := format.Source([]byte(text))
	return string(formatted), err
}

// camel returns paid_out as PaidOut.
func camel(name string) string {
	var text strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		if part != "" {
			text.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return text.String()
}
