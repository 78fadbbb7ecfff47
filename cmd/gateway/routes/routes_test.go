package routes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

const good = `# the façade's table
upstreams:
  monolith: { url: "http://127.0.0.1:8090" }
  tolls: { url: "http://127.0.0.1:8092", probe: "http://127.0.0.1:8093/readyz" }
routes:
  tolls:   # keep this
    prefix: /v1/tolls
    sides: # façade, and one line for both
      [{ upstream: monolith, weight: 100, home: app }, { upstream: tolls, weight: 0, home: app }] # and this
    shadow: { upstream: tolls, percent: 5, ignore: ["/items/*/created_at"] }
  parcels:
    prefix: /v1/parcels
    sides:
      - upstream: monolith
        weight: 100
        home: app
`

func TestMistakesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, mistake, want string }{
		{good, "", "there are no routes"},
		{good, "routes: [", "yaml"},
		{good, good + "---\n" + good, "more than one document"},
		{"weight: 100, home", "wieght: 100, home", "wieght"},
		{"weight: 100, home", "weight: many, home", "many"},
		{"weight: 100, home", "weight: 90, home", "add up to 90"},
		{"weight: 0, home", "weight: -1, home", "negative"},
		{
			"weight: 100, home: app }, { upstream: tolls, weight: 0, home: app",
			"weight: 90, home: app }, { upstream: tolls, weight: 10, home: tolls", "app and tolls are both written to",
		},
		{"weight: 0, home: app", "weight: 0", "needs a home"},
		{"{ upstream: tolls, weight", "{ upstream: ledger, weight", `"ledger" is not among`},
		{"{ upstream: tolls, weight", "{ upstream: monolith, weight", "twice"},
		{"/v1/tolls\n", "/v1/tolls/\n", "prefix must be like"},
		{"/v1/tolls\n", "v1\n", "prefix must be like"},
		{"/v1/tolls\n", "/v1/parcels\n", "same prefix"},
		{`"http://127.0.0.1:8090"`, `"127.0.0.1:8090"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090/v1"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090?v=1"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://"`, "url must be like"},
		{"http://127.0.0.1:8093/readyz", "readyz", "probe must be like"},
		{"shadow: { upstream: tolls", "shadow: { upstream: ledger", "shadow"},
		{"percent: 5", "percent: 101", "between 0 and 100"},
		{"/items/*/created_at", "created_at", "no JSON pointer"},
	} {
		_, err := Parse([]byte(strings.Replace(good, c.old, c.mistake, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", c.mistake, err, c.want)
		}
	}
}

// The text changes where it must and nowhere else; the file keeps its mode and its place.
func TestChanges(t *testing.T) {
	t.Parallel()
	path, link := filepath.Join(t.TempDir(), "routes.yaml"), filepath.Join(t.TempDir(), "link.yaml")
	if err := errors.Join(os.WriteFile(path, []byte(good), 0o600), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	set := func(route string, monolith int, tolls ...int) func() error {
		weights := map[string]int{"monolith": monolith}
		for _, weight := range tolls {
			weights["tolls"] = weight
		}
		return func() error { return SetWeights(link, route, weights) }
	}
	rollback := func() error { return Rollback(link) }
	canary := strings.NewReplacer("weight: 100, home", "weight: 90, home", "weight: 0,", "weight: 10,").Replace(good)
	paused := strings.NewReplacer("weight: 100\n", "weight: 0\n").Replace(canary)
	file, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	created, _ := yaml.Marshal(file)
	create := func() error { return Create(path, file) }
	// The same again with another home for the new side.
	apart := strings.NewReplacer("weight: 0, home: app", "weight: 0, home: tolls").Replace(good)
	write := func(path, text string) func() error {
		return func() error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	pause := strings.NewReplacer("weight: 100, home", "weight: 0, home").Replace(apart)
	moved := strings.NewReplacer("weight: 0, home: tolls", "weight: 100, home: tolls").Replace(pause)
	// Here both routes have the same numbers.
	shared := strings.NewReplacer("[{ up", "&sides [{ up", "sides:\n      - upstream: monolith\n        weight: 100\n        home: app\n",
		"sides: *sides\n").Replace(good)
	for i, step := range []struct {
		change  func() error
		refused string // "" if it is not
		want    string
	}{
		{rollback, "no version before", good},
		{set("tolls", 90), "add up to 90", good},
		{set("parcels", 100, 0), "no route parcels with a side tolls", good},
		{set("ledger", 100), "no route ledger", good},
		{set("tolls", 90, 10), "", canary},
		{set("tolls", 90, 10), "", canary}, // nothing changes, and the previous version stays
		{rollback, "", good},
		{rollback, "", canary},
		{set("parcels", 0), "", paused},
		// There is no rollback to an earlier run's routes: its processes no longer serve.
		{create, "", string(created)},
		{rollback, "no version before", string(created)},
		{write(path, apart), "", apart},
		{set("tolls", 0, 100), ErrMove.Error(), apart},
		{set("tolls", 0, 0), "", pause},
		{set("tolls", 0, 100), "", moved},
		{write(path, apart), "", apart},
		{write(path+".previous", moved), "", apart},
		{rollback, ErrMove.Error(), apart},
		{write(path, shared), "", shared},
		{set("parcels", 90, 10), "not written as a plain number", shared},
	} {
		err := step.change()
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Errorf("step %d: %v, want %q", i, err, step.refused)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != step.want {
			t.Errorf("step %d: the file is now\n%s%v, want\n%s", i, got, err, step.want)
		}
	}
	for _, name := range []string{path, path + ".previous"} {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	to, err := os.Readlink(link)
	if left, _ := os.ReadDir(filepath.Dir(path)); err != nil || to != path || len(left) != 2 {
		t.Errorf("the link leads to %q, %v; in the folder are %v", to, err, left)
	}
}

func TestChangesAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, route := range []string{"parcels", "tolls"} {
		group.Go(func() {
			for i := range 60 {
				weight := i % 2 * 100
				if err := SetWeights(path, route, map[string]int{"monolith": weight}); err != nil {
					t.Error(err)
				}
				if file, err := Load(path); err != nil || file.Routes[route].Sides[0].Weight != weight {
					t.Errorf("change %d of %s is lost: %v", i, route, err)
				}
			}
		})
	}
	group.Wait()
}

func TestARouteIsOfTheModuleThatItsPrefixNames(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"/v1/tolls": "tolls", "/v1/lamps/lit": "lamps", "/": "", "/v1": "", "/v1/a b": "", "/v1/%2e": "", "/v1/a?b": "",
	} {
		if got := (Route{Prefix: prefix}).Module(); got != want {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}
