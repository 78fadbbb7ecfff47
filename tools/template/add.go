package template

import (
	"embed"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
)

// templates are the files of a module, at their paths with NAME for its name, and those of a
// product.
//
//go:embed all:module all:product
var templates embed.FS

// agreement is the module's entry in the context map.
const agreement = "module/agreement.tmpl"

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
	Path, Name                 string
	Publishes, Listens, Public []event // Public is what no module listens to
	Calls                      []call
	CallImports, ListenImports []string
}

// With returns the files with one more module, which is wired into the monolith and has a process
// of its own. byHand lists what a person has to do, where a file is no longer as it was made.
func (f Files) With(m Module) (with Files, byHand []string, err error) {
	if err := f.check(m.Name); err != nil {
		return nil, nil, err
	}
	p, err := f.page(m)
	if err != nil {
		return nil, nil, err
	}
	with = maps.Clone(f)
	err = fs.WalkDir(templates, "module", func(from string, entry fs.DirEntry, err error) error {
		to, isFile := strings.CutPrefix(from, "module/")
		if err != nil || entry.IsDir() || !isFile || from == agreement ||
			strings.Contains(to, "/NAMEapi/") && len(p.Publishes) == 0 {
			return err
		}
		to = strings.TrimSuffix(strings.ReplaceAll(to, "NAME", m.Name), ".tmpl")
		if _, there := f[to]; there {
			return fmt.Errorf("%s is there already: move it, or choose another name", to)
		}
		text, err := render(from, p)
		if err == nil && strings.HasSuffix(from, ".go.tmpl") {
			text, err = formatGo(text)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", from, err)
		}
		with.set(to, text)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	entry, err := render(agreement, p)
	if err != nil {
		return nil, nil, err
	}
	if flow(with[contextMap].Text) {
		return with, append(with.wire(p), contextMap+": add "+entry), nil
	}
	with.set(contextMap, strings.TrimRight(with[contextMap].Text, "\n")+"\n\n"+entry)
	if err := with.publish(); err != nil {
		return nil, nil, err
	}
	if err := with.list(p); err != nil {
		return nil, nil, err
	}
	return with, with.wire(p), nil
}

// flow reports whether a page is one {list of pairs}, to which no lines can be added.
func flow(page string) bool {
	var document yaml.Node
	return yaml.Unmarshal([]byte(page), &document) == nil && len(document.Content) > 0 && document.Content[0].Style == yaml.FlowStyle
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
	for _, list := range [][]string{m.Publishes, m.Listens, m.Calls} {
		for i, name := range list {
			if slices.Contains(list[:i], name) {
				return p, fmt.Errorf("%s is named twice", name)
			}
		}
	}
	for _, topic := range m.Publishes {
		parts := topicOf.FindStringSubmatch(topic)
		if parts == nil || parts[1] != m.Name {
			return p, fmt.Errorf("%s cannot be published by %s: write %s.happened.v1, in small letters and with a version", topic, m.Name, m.Name)
		}
		e := event{Topic: topic, Module: m.Name, Package: m.Name + "api", Type: camel(parts[2])}
		if parts[3] != "1" {
			e.Type += "V" + parts[3]
		}
		if i := slices.IndexFunc(p.Publishes, func(other event) bool { return other.Type == e.Type }); i >= 0 {
			return p, fmt.Errorf("%s and %s would both be the Go type %s: give one of them another name", p.Publishes[i].Topic, topic, e.Type)
		}
		p.Publishes = append(p.Publishes, e)
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
	p.Public = slices.DeleteFunc(slices.Clone(p.Publishes), func(e event) bool { return slices.Contains(m.Listens, e.Topic) })
	for _, called := range m.Calls {
		c, err := f.client(called)
		if err != nil {
			return p, err
		}
		p.Calls = append(p.Calls, c)
		if strings.Contains(strings.Join(c.Methods, ""), c.Package+".") {
			p.CallImports = append(p.CallImports, p.Path+"/modules/"+c.Module+"/"+c.Package)
		}
	}
	return p, nil
}

var topicOf = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([a-z][a-z0-9_]*)\.v([0-9]+)$`)

func topicsOf(events []event) string {
	var topics []string
	for _, e := range events {
		topics = append(topics, e.Topic)
	}
	if len(topics) == 0 {
		return "none yet"
	}
	return strings.Join(topics, ", ")
}

func render(name string, p any) (string, error) {
	text, err := templates.ReadFile(name)
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
