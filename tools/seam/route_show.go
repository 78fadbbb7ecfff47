package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/share"
	"example.com/shop/tools/routing"
)

// shownFile is the routes file, with what is known of the running system.
type shownFile struct {
	file      routes.File
	Upstreams map[string]routes.Upstream `json:"upstreams"`
	Routes    map[string]*shownRoute     `json:"routes"`
	Notes     []string                   `json:"notes,omitempty"` // what could not be asked
}

type shownRoute struct {
	routes.Route
	Differs  []string      `json:"differs,omitempty"` // how a façade or the schema differs from the file
	Handled  []share.State `json:"handled,omitempty"` // by side, since the weights were set
	Shadowed *routes.Tally `json:"shadowed,omitempty"`
}

func newShownFile(file routes.File) *shownFile {
	shown := &shownFile{file: file, Upstreams: file.Upstreams, Routes: map[string]*shownRoute{}}
	for name, r := range file.Routes {
		shown.Routes[name] = &shownRoute{Route: r}
	}
	return shown
}

func (f *shownFile) names() []string { return slices.Sorted(maps.Keys(f.Routes)) }

func (f *shownFile) note(text string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(text, args...))
}

// addSilent notes the processes that did not answer.
func (f *shownFile) addSilent(answers routes.Answers) {
	for _, a := range answers {
		if a.Status == 0 {
			f.note("whether %s serves the route %s is not known: it has no probe, or no answer came", a.Upstream, a.Route)
		}
	}
}

// addRunning adds what the façades and the schemas say.
func (f *shownFile) addRunning(ctx context.Context, system routing.System) {
	for _, facade := range system.Facades {
		page, err := routing.Applied(ctx, facade)
		if err != nil {
			f.note("%v", err)
			continue
		}
		f.addFacade(facade, page)
	}
	for _, module := range slices.Sorted(maps.Keys(system.Schemas)) {
		route := f.of(module)
		switch {
		case route == nil:
		case system.Schemas[module] == "":
			f.note("no events and jobs of %s: %s is not set", module, setting(module))
		default:
			schema, err := system.Open(ctx, module)
			if err != nil {
				f.note("no events and jobs of %s: %v", module, err)
				continue
			}
			schema.Close()
			for _, side := range route.Sides { // in the file's order
				route.Handled = append(route.Handled, schema.Side(side.Upstream))
			}
			// Without weights in the schema, the route's only side handles all.
			if w := schema.Weights(); !schema.Has(routing.Shares(route.Route)) && (w != "" || len(route.Sides) > 1) {
				route.differs("the schema of "+module, w)
			}
		}
	}
}

func (f *shownFile) addFacade(facade string, page routes.Page) {
	for _, name := range slices.Sorted(maps.Keys(page.Routes)) {
		if f.Routes[name] == nil {
			f.note("the façade %s also has a route %s: seam route apply removes it", facade, name)
		}
	}
	for _, name := range f.names() {
		r, applied := f.Routes[name], page.Routes[name]
		if weights := page.File().Routes[name].Weights(); weights != r.Weights() {
			r.differs("the façade "+facade, weights)
		}
		if r.Shadowed == nil {
			r.Shadowed = applied.Shadow
		}
		if r.Shadow != nil && applied.Shadow == nil {
			r.Differs = append(r.Differs, "the façade "+facade+" does not shadow it: seam route apply gives it the file")
		}
	}
}

// of returns the route whose weights are the module's.
func (f *shownFile) of(module string) *shownRoute {
	prefix := routing.Of(f.file, module).Prefix
	for _, r := range f.Routes {
		if r.Prefix == prefix {
			return r
		}
	}
	return nil
}

func (r *shownRoute) differs(place, weights string) {
	if weights == "" {
		weights = "no weights"
	}
	r.Differs = append(r.Differs, fmt.Sprintf("%s has %s: seam route apply gives it the file's", place, weights))
}

func (f *shownFile) print(out io.Writer) {
	for _, name := range f.names() {
		r := f.Routes[name]
		fmt.Fprintf(out, "%-14s %-20s", name, r.Prefix)
		for _, side := range r.Sides {
			fmt.Fprintf(out, "  %s %d%%", side.Upstream, side.Weight)
		}
		if r.Shadow != nil {
			fmt.Fprintf(out, "  shadow %s %d%%", r.Shadow.Upstream, r.Shadow.Percent)
		}
		fmt.Fprintln(out)
		r.print(out)
	}
	for _, note := range f.Notes {
		fmt.Fprintln(out, note)
	}
}

// print prints what is known of the route in the running system. Of the answers that differ it
// prints no values.
func (r *shownRoute) print(out io.Writer) {
	for _, difference := range r.Differs {
		fmt.Fprintf(out, "    differs: %s\n", difference)
	}
	for _, s := range r.Handled {
		alive := "silent"
		if s.Alive {
			alive = "alive"
		}
		fmt.Fprintf(out, "    %-14s %-6s  %d requests, %d events, %d jobs\n", s.Side, alive, s.Requests, s.Events, s.Jobs)
	}
	if t := r.Shadowed; t != nil {
		fmt.Fprintf(out, "    shadow: %d compared, %d differ, %d failed, %d dropped\n",
			t.Compared, t.Mismatched, t.Failed, t.Dropped)
		if len(t.Mismatches) > 0 {
			last := t.Mismatches[len(t.Mismatches)-1]
			fmt.Fprintf(out, "    the latest difference: status %d and %d, at %s\n",
				last.Status, last.Shadow, strings.Join(last.Pointers, " "))
		}
	}
}
