package template

import (
	"strings"
	"testing"
	"time"

	"example.com/shop/architecture"
	"example.com/shop/cmd/gateway/routes"
)

var firstOfDecember = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// leaving is the ledger's entry of a module in a state.
func leaving(m, state string) string {
	day, record := "2027-05-15", ""
	if state == architecture.DataMoved || state == architecture.Decommissioned {
		day = "2026-05-15"
		record = "\n    moved: " + day + " 7443210987654321098/" + m + " epoch 2, 41000 rows in 12 tables, checksum 0123456789abcdef"
	}
	return `
  # Why it leaves.
  - module: ` + m + `
    trigger: isolation
    measurement: the audit of addresses covers 41,000 lines; 3,100 once it stands alone (audit of 2026-02)
    owner: grace
    state: ` + state + ` # since spring` + record + `
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: ` + day + `, decommissioned: 2027-06-30}
    dual_run_ends: 2026-04-10
`
}

// A module leaves the monolith for good: its code, its routes, and the ledger say so, and it is
// refused a second time.
func TestDetached(t *testing.T) {
	t.Parallel()
	f := repository(t)
	for _, m := range []Module{{Name: "ferries", Publishes: []string{"ferries.sent.v1"}}, {Name: "harbour", Listens: []string{"ferries.sent.v1"}}} {
		with, byHand, err := f.With(m)
		if err != nil || len(byHand) > 0 {
			t.Fatal(err, byHand)
		}
		f = with
	}
	const table = "deploy/routes.yaml"
	f.set(table, strings.TrimRight(f[table].Text, "\n")+"\n  ferries: # its own\n    prefix: /v1/ferries\n    sides: [{ upstream: monolith, weight: 100 }]\n")
	f.set(ledgerFile, "extractions:"+leaving("ferries", "data moved")+leaving("harbour", "cut over"))

	left, done, held, err := f.Detached("ferries", firstOfDecember)
	if err != nil || len(held) > 0 || len(done) != 3 {
		t.Fatalf("%v, held %q, done %q", err, held, done)
	}
	if text := left[root].Text; strings.Contains(text, "ferries") || !strings.Contains(text, "harbour.New(") {
		t.Errorf("the monolith:\n%s", text)
	}
	read, err := routes.Parse([]byte(left[table].Text))
	if side := read.Routes["ferries"].Sides[0]; err != nil || side.Upstream != "ferries" || read.Upstreams["ferries"].Probe == "" {
		t.Errorf("%v: the routes:\n%s", err, left[table].Text)
	}
	ledger, err := architecture.ParseLedger(left[ledgerFile].Text)
	if entry := ledger.Extractions[0]; err != nil || entry.Validate() != nil || len(entry.Overdue(firstOfDecember)) > 0 ||
		len(ledger.Left()) != 1 || !strings.Contains(left[ledgerFile].Text, "# since spring") {
		t.Errorf("%v: the ledger:\n%s", err, left[ledgerFile].Text)
	}
	for name, file := range f { // its own program, contract and schema stay
		if owned(name, "ferries") && left[name] != file {
			t.Errorf("%s is changed", name)
		}
	}
	for m, want := range map[string]string{"ferries": "already", "harbour": `is "cut over"`} {
		if _, _, _, err := left.Detached(m, firstOfDecember); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, once ferries has left: %v", m, err)
		}
	}
	f.set(ledgerFile, "extractions: []\n")
	if _, _, _, err := f.Detached("ferries", firstOfDecember); err == nil || !strings.Contains(err.Error(), "no entry for ferries") {
		t.Errorf("without an entry: %v", err)
	}
	f.set(ledgerFile, "extractions:"+leaving("harbour", "data moved"))
	f.set(root, strings.Replace(f[root].Text, "ferries.New(cfg.Ferries,", "ferries.New(harbour.Today, cfg.Ferries,", 1))
	if _, _, held, err := f.Detached("harbour", firstOfDecember); err != nil || len(held) != 1 || !strings.Contains(held[0], "harbour.Today") {
		t.Errorf("of which ferries is made: %v, held %q", err, held)
	}
}

// The last module of the monolith does not leave it.
func TestTheLastModuleIsNotDetached(t *testing.T) {
	t.Parallel()
	f := Files{"go.mod": {Text: "module a.example/app\n"}, "modules/ferries/go.mod": {}, "modules/harbour/go.mod": {}}
	f.set(ledgerFile, "extractions:"+leaving("ferries", "decommissioned")+leaving("harbour", "data moved"))
	f.set(ledgerFile, strings.ReplaceAll(f[ledgerFile].Text, "2027-", "2026-"))
	if _, _, _, err := f.Detached("harbour", firstOfDecember); err == nil || !strings.Contains(err.Error(), "the last module") {
		t.Error(err)
	}
}

func TestRerouted(t *testing.T) {
	t.Parallel()
	const table = `# The processes.
upstreams:
  monolith: { url: "http://127.0.0.1:8090", probe: "http://127.0.0.1:8091/readyz" } # all
  tolls: { url: "http://127.0.0.1:8094" }

routes:
  # Of parcels.
  parcels:
    prefix: /v1/parcels
    sides:
      - { upstream: monolith, weight: 100 } # for now
  tolls:
    prefix: /v1/tolls
    sides:
      - { upstream: monolith, weight: 10 }
      - { upstream: tolls, weight: 90 } # the new one
  toll-roads:
    prefix: /v1/tolls/roads
    sides: [{ upstream: monolith, weight: 0 }, { upstream: tolls, weight: 100 }]
  lamps:
    prefix: /v1/lamps
    sides: [{ upstream: tolls, weight: 100 }, { upstream: monolith, weight: 0 }]
`
	only := strings.NewReplacer(
		"  tolls: { url: \"http://127.0.0.1:8094\" }\n", "  tolls: { url: \"http://127.0.0.1:8094\" }\n"+
			"  # HTTP_ADDR=127.0.0.1:8092 OPS_ADDR=127.0.0.1:8093 bin/parcels serve\n"+
			"  parcels: { url: \"http://127.0.0.1:8092\", probe: \"http://127.0.0.1:8093/readyz\" }\n",
		"monolith, weight: 100 } # for now", "\"parcels\", weight: 100 }").Replace(table)
	for name, test := range map[string]struct{ m, old, text, want string }{
		"its only side":     {"parcels", "", "", only},
		"a quoted upstream": {"parcels", "monolith, weight: 100", `"monolith", weight: 100`, only},
		"one of two sides, in each of its routes": {"tolls", "", "", strings.NewReplacer(
			"      - { upstream: monolith, weight: 10 }\n", "", "weight: 90", "weight: 100",
			"{ upstream: monolith, weight: 0 }, { upstream: tolls", "{ upstream: tolls").Replace(table)},
		"the last side on its line": {"lamps", "", "", strings.Replace(table, ", { upstream: monolith, weight: 0 }]", "]", 1)},
		"no side":                   {"bridges", "", "", table},
		"at a name of its own": {"parcels", "http://127.0.0.1:809", "http://monolith:809", strings.NewReplacer(
			"http://127.0.0.1:809", "http://monolith:809",
			"\n\nroutes:", "\n  parcels: { url: \"http://parcels:8090\", probe: \"http://parcels:8091/readyz\" }\n\nroutes:",
			"monolith, weight: 100 } # for now", "\"parcels\", weight: 100 }").Replace(table)},
		"a shadow": {"parcels", "  tolls:\n    prefix", "    shadow: { upstream: monolith, percent: 5 }\n  tolls:\n    prefix", ""},
		"upstreams in one line": {"parcels", table[:strings.Index(table, "routes:")],
			`upstreams: { monolith: { url: "http://127.0.0.1:8090" }, tolls: { url: "http://127.0.0.1:8094" } }` + "\n", ""},
		"three sides": {"tolls", "  toll-roads:", "      - { upstream: other, weight: 0 }\n  toll-roads:", ""},
		"no table":    {"tolls", "routes:", "roads:", ""},
	} {
		changed := strings.ReplaceAll(table, test.old, test.text)
		if test.old == "" {
			changed = table
		}
		if name == "three sides" {
			changed = strings.Replace(changed, "upstreams:\n", "upstreams:\n  other: { url: \"http://127.0.0.1:1\" }\n", 1)
		}
		got, err := rerouted(changed, test.m)
		if (err != nil) != (test.want == "") || got != test.want {
			t.Errorf("%s: %v, got:\n%s", name, err, got)
		}
	}
	const alone = "upstreams:\n  monolith: { url: \"http://127.0.0.1:8090\" }\n  tolls: { url: \"http://127.0.0.1:8094\" }\n" +
		"routes:\n  tolls: { prefix: /v1/tolls, sides: [{ upstream: tolls, weight: 100 }, { upstream: monolith, weight: 0 }] }\n"
	want := strings.Replace(alone, ", { upstream: monolith, weight: 0 }", "", 1)
	if got, err := rerouted(alone, "tolls"); err != nil || got != want { // the upstream stays, though no route names it
		t.Errorf("%v, got:\n%s", err, got)
	}
}
