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

// A topic may be written where the type is, or as a constant in any file of the contract.
func TestEvents(t *testing.T) {
	t.Parallel()
	f := Files{
		"modules/ferries/go.mod":                {},
		"modules/ferries/ferriesapi/sailed.go":  {Text: "package ferriesapi\n\ntype Sailed struct{}\n\nfunc (Sailed) Topic() string { return \"ferries.sailed.v1\" }\n"},
		"modules/ferries/ferriesapi/sunk.go":    {Text: "package ferriesapi\n\ntype Sunk struct{}\n\nfunc (Sunk) Topic() string { return sunk }\n"},
		"modules/ferries/ferriesapi/topics.go":  {Text: "package ferriesapi\n\nconst (\n\tversion = 1\n\tsunk, lost = \"ferries.sunk.v1\", \"\"\n)\n"},
		"modules/ferries/ferriesapi/another.go": {Text: "package ferriesapi\n\ntype page struct{}\n\nfunc (page) Topic() string { return lost }\n"},
	}
	if topics := topicsOf(f.events()); topics != "ferries.sailed.v1, ferries.sunk.v1" {
		t.Error(topics)
	}
	f.set(contextMap, "ferries: { public: { ferries.sailed.v1: all }, listens_to: [] }\n")
	if err := f.publish(); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("%v:\n%s", err, f[contextMap].Text)
	}
}
