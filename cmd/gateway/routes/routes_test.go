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
  payments: { url: "http://127.0.0.1:8092", probe: "http://127.0.0.1:8093/readyz" }
routes:
  payments:   # keep this
    prefix: /v1/payments
    sides: # façade, and one line for both
      [{ upstream: monolith, weight: 100, home: shop }, { upstream: payments, weight: 0, home: shop }] # and this
    shadow: { upstream: payments, percent: 5, ignore: ["/items/*/created_at"] }
  orders:
    prefix: /v1/orders
    sides:
      - upstream: monolith
        weight: 100
        home: shop
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
			"weight: 100, home: shop }, { upstream: payments, weight: 0, home: shop",
			"weight: 90, home: shop }, { upstream: payments, weight: 10, home: payments", "shop and payments are both written to",
		},
		{"weight: 0, home: shop", "weight: 0", "needs a home"},
		{"{ upstream: payments, weight", "{ upstream: ledger, weight", `"ledger" is not among`},
		{"{ upstream: payments, weight", "{ upstream: monolith, weight", "twice"},
		{"/v1/payments\n", "/v1/payments/\n", "prefix must be like"},
		{"/v1/payments\n", "v1\n", "prefix must be like"},
		{"/v1/payments\n", "/v1/orders\n", "same prefix"},
		{`"http://127.0.0.1:8090"`, `"127.0.0.1:8090"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090/v1"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090?v=1"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://"`, "url must be like"},
		{"http://127.0.0.1:8093/readyz", "readyz", "probe must be like"},
		{"shadow: { upstream: payments", "shadow: { upstream: ledger", "shadow"},
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
	set := func(route string, monolith int, payments ...int) func() error {
		weights := map[string]int{"monolith": monolith}
		for _, weight := range payments {
			weights["payments"] = weight
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
	apart := strings.NewReplacer("weight: 0, home: shop", "weight: 0, home: payments").Replace(good)
	write := func(path, text string) func() error {
		return func() error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	pause := strings.NewReplacer("weight: 100, home", "weight: 0, home").Replace(apart)
	moved := strings.NewReplacer("weight: 0, home: payments", "weight: 100, home: payments").Replace(pause)
	// Here both routes have the same numbers.
	shared := strings.NewReplacer("[{ up", "&sides [{ up", "sides:\n      - upstream: monolith\n        weight: 100\n        home: shop\n",
		"sides: *sides\n").Replace(good)
	for i, step := range []struct {
		change  func() error
		refused string // "" if it is not
		want    string
	}{
		{rollback, "no version before", good},
		{set("payments", 90), "add up to 90", good},
		{set("orders", 100, 0), "no route orders with a side payments", good},
		{set("ledger", 100), "no route ledger", good},
		{set("payments", 90, 10), "", canary},
		{set("payments", 90, 10), "", canary}, // nothing changes, and the previous version stays
		{rollback, "", good},
		{rollback, "", canary},
		{set("orders", 0), "", paused},
		// There is no rollback to an earlier run's routes: its processes no longer serve.
		{create, "", string(created)},
		{rollback, "no version before", string(created)},
		{write(path, apart), "", apart},
		{set("payments", 0, 100), ErrMove.Error(), apart},
		{set("payments", 0, 0), "", pause},
		{set("payments", 0, 100), "", moved},
		{write(path, apart), "", apart},
		{write(path+".previous", moved), "", apart},
		{rollback, ErrMove.Error(), apart},
		{write(path, shared), "", shared},
		{set("orders", 90, 10), "not written as a plain number", shared},
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
	for _, route := range []string{"orders", "payments"} {
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
		"/v1/payments": "payments", "/v1/inventory/quotes": "inventory", "/": "", "/v1": "", "/v1/a b": "", "/v1/%2e": "", "/v1/a?b": "",
	} {
		if got := (Route{Prefix: prefix}).Module(); got != want {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}
