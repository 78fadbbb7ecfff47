package routes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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

func TestTheExampleIsRight(t *testing.T) {
	t.Parallel()
	if _, err := Load("../../../deploy/routes.yaml"); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatalf("nothing is wrong here: %v", err)
	}
	for _, c := range []struct{ old, mistake, want string }{
		{good, "", "there are no routes"},
		{good, "routes: [", "yaml"},
		{good, good + "---\n" + good, "more than one document"},
		{"weight: 100, home", "wieght: 100, home", "wieght"},
		{"weight: 100, home", "weight: many, home", "many"},
		{"weight: 100, home", "weight: 90, home", "add up to 90"},
		{"weight: 0, home", "weight: -1, home", "negative"},
		{"weight: 100, home: shop }, { upstream: payments, weight: 0, home: shop", "weight: 90, home: shop }, { upstream: payments, weight: 10, home: payments", "shop and payments are both written to"},
		{"weight: 0, home: shop", "weight: 0", "needs a home"},
		{"{ upstream: payments, weight", "{ upstream: ledger, weight", `"ledger" is not among`},
		{"{ upstream: payments, weight", "{ upstream: monolith, weight", "twice"},
		{"/v1/payments\n", "/v1/payments/\n", "prefix must be like"},
		{"/v1/payments\n", "v1\n", "prefix must be like"},
		{"/v1/payments\n", "/v1/orders\n", "same prefix"},
		{`"http://127.0.0.1:8090"`, `"127.0.0.1:8090"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090/v1"`, "url must be like"},
		{"http://127.0.0.1:8093/readyz", "readyz", "probe must be like"},
		{"shadow: { upstream: payments", "shadow: { upstream: ledger", "shadow"},
		{"percent: 5", "percent: 101", "between 0 and 100"},
		{"/items/*/created_at", "created_at", "no JSON pointer"},
	} {
		text := strings.Replace(good, c.old, c.mistake, 1)
		if text == good {
			t.Fatalf("%q is not in the file", c.old)
		}
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", c.mistake, err, c.want)
		}
	}
}

// place writes the example to a folder of its own.
func place(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWeightsChangeAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	path := place(t)
	if err := SetWeights(path, "payments", map[string]int{"monolith": 90, "payments": 10}); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(strings.Replace(good, "weight: 100, home", "weight: 90, home", 1), "weight: 0,",
		"weight: 10,", 1)
	if got := content(t, path); got != want {
		t.Errorf("the file is now\n%s\nwant\n%s", got, want)
	}
	if err := SetWeights(path, "orders", map[string]int{"monolith": 0}); err != nil {
		t.Errorf("a route can be paused: %v", err)
	}
	file, err := Load(path)
	if err != nil || file.Routes["orders"].Home() != "" || file.Routes["payments"].Home() != "shop" {
		t.Errorf("homes: %q and %q, %v", file.Routes["orders"].Home(), file.Routes["payments"].Home(), err)
	}
}

func TestAWrongChangeIsRefused(t *testing.T) {
	t.Parallel()
	path := place(t)
	for route, weights := range map[string]map[string]int{
		"payments": {"monolith": 90},
		"orders":   {"payments": 100},
		"ledger":   {"monolith": 100},
	} {
		if err := SetWeights(path, route, weights); err == nil {
			t.Errorf("%s %v was taken", route, weights)
		}
	}
	if err := Rollback(path); err == nil || !strings.Contains(err.Error(), "no version before") {
		t.Errorf("rollback of nothing: %v", err)
	}
	if got := content(t, path); got != good {
		t.Errorf("the file is now\n%s", got)
	}
}

func TestAHomeChangesOnlyInAPause(t *testing.T) {
	t.Parallel()
	path := place(t)
	moved := strings.Replace(good, "weight: 100, home: shop }, { upstream: payments, weight: 0, home: shop",
		"weight: 0, home: shop }, { upstream: payments, weight: 100, home: payments", 1)
	if err := os.WriteFile(path+".previous", []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Rollback(path); !errors.Is(err, ErrMove) || content(t, path) != good {
		t.Errorf("a rollback to another home: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(good, "weight: 0, home: shop", "weight: 0, home: payments", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SetWeights(path, "payments", map[string]int{"monolith": 0, "payments": 100}); !errors.Is(err, ErrMove) {
		t.Errorf("a move in one step: %v", err)
	}
	for _, payments := range []int{0, 100} {
		if err := SetWeights(path, "payments", map[string]int{"monolith": 0, "payments": payments}); err != nil {
			t.Errorf("a move in two steps: %v", err)
		}
	}
}

// The file keeps its place and its mode, also behind a symbolic link.
func TestOnlyTheTextChanges(t *testing.T) {
	t.Parallel()
	path := place(t)
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := SetWeights(link, "payments", map[string]int{"monolith": 90, "payments": 10}); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); to != path || content(t, path) == good {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	for _, name := range []string{path, path + ".previous"} {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestChangesAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	path := place(t)
	var group sync.WaitGroup
	for route, weights := range map[string]map[string]int{"orders": {"monolith": 0}, "payments": {"monolith": 0, "payments": 100}} {
		group.Go(func() {
			for range 20 {
				for _, w := range []map[string]int{weights, {"monolith": 100, "payments": 0}, weights} {
					if route == "orders" {
						w = map[string]int{"monolith": w["monolith"]}
					}
					if err := SetWeights(path, route, w); err != nil {
						t.Error(err)
					}
				}
				file, err := Load(path)
				if err != nil || file.Routes[route].Sides[0].Weight != 0 {
					t.Errorf("the change of %s is lost: %v", route, err)
				}
			}
		})
	}
	group.Wait()
}

func TestRollback(t *testing.T) {
	t.Parallel()
	path := place(t)
	for range 2 { // the second time changes nothing, and must keep the previous version
		if err := SetWeights(path, "payments", map[string]int{"monolith": 0, "payments": 100}); err != nil {
			t.Fatal(err)
		}
	}
	changed := content(t, path)
	for _, want := range []string{good, changed} {
		if err := Rollback(path); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != want {
			t.Errorf("the file is now\n%s\nwant\n%s", got, want)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("in the folder are %v, %v; want the file and its previous version", left, err)
	}
}

// There is no rollback to an earlier run's routes: its processes no longer serve.
func TestANewFileHasNoPreviousVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "routes.yaml")
	file, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Create(path, file); err != nil {
			t.Fatal(err)
		}
		if err := Rollback(path); err == nil || !strings.Contains(err.Error(), "no version before") {
			t.Errorf("rollback of a new file: %v", err)
		}
		if err := SetWeights(path, "payments", map[string]int{"monolith": 90, "payments": 10}); err != nil {
			t.Fatal(err)
		}
	}
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
