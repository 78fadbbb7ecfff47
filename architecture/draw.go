package architecture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"example.com/shop/platform/service"
)

// Arrow joins all events, or all calls, from one module to another, to keep the map readable.
type Arrow struct {
	From, To string   // To is "" for events without a subscriber here
	Labels   []string // topics without the name of their module, or what is called
	Asks     bool
}

// Arrows returns the lines of the map: events first, then calls.
func (m Model) Arrows() []Arrow {
	var arrows []Arrow
	add := func(from, to, label string) {
		i := slices.IndexFunc(arrows, func(a Arrow) bool { return a.From == from && a.To == to })
		if i < 0 {
			i, arrows = len(arrows), append(arrows, Arrow{From: from, To: to})
		}
		arrows[i].Labels = append(arrows[i].Labels, label)
	}
	for _, e := range m.Events {
		label := strings.TrimPrefix(e.Topic, e.Module+".")
		for _, to := range e.SubscribedBy {
			add(e.Module, to, label)
		}
		if len(e.SubscribedBy) == 0 {
			add(e.Module, "", label)
		}
	}
	byEnds := func(a, b Arrow) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) }
	slices.SortStableFunc(arrows, byEnds)
	for _, c := range m.Calls {
		arrows = append(arrows, Arrow{c.From, c.To, c.Names, true})
	}
	return arrows
}

// outside is the node for external subscribers.
const outside = "world"

// Mermaid draws the map as a Mermaid flowchart.
func (m Model) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, of := range m.Modules {
		fmt.Fprintf(&b, "  %s[\"<b>%s</b><br/>%s\"]\n", node(of.Name), of.Name, strings.Join(of.Tables, "<br/>"))
	}
	world := false
	for _, a := range m.Arrows() {
		to, line, tip := node(a.To), "--", "-->"
		if a.Asks {
			line, tip = "-.", ".->"
		}
		if a.To == "" {
			to = outside
			world = true
		}
		fmt.Fprintf(&b, "  %s %s \"%s\" %s %s\n", node(a.From), line, strings.Join(a.Labels, "<br/>"), tip, to)
	}
	if world {
		fmt.Fprintf(&b, "  %s([\"external\"])\n", outside)
	}
	b.WriteString("  subgraph processes [\"Which processes run\"]\n")
	for i, t := range m.Topologies {
		lines := []string{"<b>" + t.Name + "</b>"}
		for _, p := range t.Processes {
			lines = append(lines, p.String())
		}
		fmt.Fprintf(&b, "    run%d[\"%s\"]\n", i, strings.Join(lines, "<br/>"))
	}
	b.WriteString("  end\n")
	return b.String()
}

// node returns a module's name as a Mermaid id; end and the like are Mermaid's keywords.
func node(module string) string { return "m_" + module }

// String returns a process and the modules that it serves, in one line.
func (p Process) String() string {
	if len(p.Modules) == 0 || slices.Equal(p.Modules, []string{p.Name}) {
		return p.Name
	}
	return p.Name + ": " + strings.Join(p.Modules, ", ")
}

// Catalogue returns all events: a table for each module that publishes.
func (m Model) Catalogue() string {
	var b strings.Builder
	for _, module := range m.Modules {
		first := true
		for _, e := range m.Events {
			if e.Module != module.Name {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n### %s\n\n| topic | when it is true | fields | subscribers |\n|---|---|---|---|\n", module.Name)
				first = false
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Topic, cell(e.Doc), cell(list(e.Fields, "<br/>")),
				cmp.Or(strings.Join(e.SubscribedBy, ", "), "external"))
		}
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func list(fields []service.Field, between string) string {
	var all []string
	for _, f := range fields {
		all = append(all, "`"+f.Name+"` "+typeOf(f))
	}
	return strings.Join(all, between)
}

// typeOf returns a field's type, with the fields of an object.
func typeOf(f service.Field) string {
	text := cmp.Or(f.Format, f.Type, "any")
	switch {
	case f.Type == "array":
		text = "[]" + typeOf(*f.Elements)
	case f.Type == "object" && f.Elements != nil:
		text = "map of " + typeOf(*f.Elements)
	case f.Type == "object":
		text = "{" + list(f.Fields, ", ") + "}"
	}
	if f.Nullable {
		text += " or null"
	}
	return text
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// Readme is the page that holds the generated parts.
const Readme = "architecture/README.md"

// Generated returns the generated parts of the page by the name in their markers.
func (m Model) Generated() map[string]string {
	return map[string]string{"map": "```mermaid\n" + m.Mermaid() + "```\n", "events": m.Catalogue()}
}

// Fill puts a text between the markers <!-- name --> and <!-- /name -->; false if one is missing.
func Fill(page, name, text string) (string, bool) {
	before, rest, begins := strings.Cut(page, "<!-- "+name+" -->\n")
	_, after, ends := strings.Cut(rest, "<!-- /"+name+" -->")
	return before + "<!-- " + name + " -->\n" + text + "<!-- /" + name + " -->" + after, begins && ends
}
