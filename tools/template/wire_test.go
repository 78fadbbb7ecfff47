package template

import (
	"strings"
	"testing"
)

// What a comment speaks of is not there yet, and nothing is added where it is never reached.
func TestWire(t *testing.T) {
	t.Parallel()
	f := Files{
		root: {Text: `package main

import (
	"a.example/app/modules/ferries"
)

// It may need "a.example/app/modules/harbour/harbourapi", "a.example/app/platform/web" and
//	"time"
// and a web.ClientConfig, with ` + "`env:\"HARBOUR_URL\"`" + `.
var schemas = map[string]any{}

type config struct{}

func wire(cfg config, add func()) error {
	return ferries.Check()
}
`},
		"cmd/monolith/config.go": {Text: "package main\n\nvar calls = [][2]string{}\n"},
	}
	byHand := f.wire(page{Path: "a.example/app", Name: "barges", Calls: []call{{Module: "harbour", Package: "harbourapi", Type: "Harbour"}}})
	if len(byHand) != 1 || !strings.Contains(byHand[0], "bargesHarbour = the module, where harbour is made") {
		t.Errorf("by hand: %q", byHand)
	}
	for _, want := range []string{
		"\n\t\"a.example/app/modules/harbour/harbourapi\"\n", "\n\t\"a.example/app/platform/web\"\n", "\n\t\"time\"\n",
		" web.ClientConfig\n}", "HarbourURL web.BaseURL `env:\"HARBOUR_URL\"", "\n\t})\n\treturn ferries.Check()\n}\n",
	} {
		if !strings.Contains(f[root].Text, want) {
			t.Errorf("without %q:\n%s", want, f[root].Text)
		}
	}
}
