package template

import (
	"strings"
	"testing"
)

// What pages agree with a module is found, though no code uses it any more.
func TestAgreedWith(t *testing.T) {
	t.Parallel()
	f := repository(t)
	for _, m := range []Module{
		{Name: "ferries", Publishes: []string{"ferries.sailed2.v1"}},
		{Name: "harbour", Listens: []string{"ferries.sailed2.v1"}, Publishes: []string{"harbour.full.v1"}},
	} {
		with, _, err := f.With(m)
		if err != nil {
			t.Fatal(err)
		}
		f = with
	}
	for name := range f {
		if strings.HasPrefix(name, "modules/harbour/") && strings.HasSuffix(name, ".go") {
			delete(f, name)
		}
	}
	lines := f.AgreedWith("ferries")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], contextMap+":") || !strings.HasPrefix(lines[1], "modules/harbour/README.md:") {
		t.Errorf("with ferries agree %q", lines)
	}
	if lines := f.AgreedWith("harbour"); len(lines) > 0 {
		t.Errorf("with harbour agree %q", lines)
	}
	f.set(contextMap, f[contextMap].Text+"\nquay:\n  calls:\n    harbour: it asks for a berth\n")
	if lines := f.AgreedWith("harbour"); len(lines) != 1 {
		t.Errorf("with harbour agree %q, which quay calls", lines)
	}
}
