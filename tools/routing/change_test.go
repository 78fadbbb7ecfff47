package routing

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"example.com/shop/cmd/gateway/routes"
)

const good = `# the façade's table
upstreams:
  monolith: { url: "http://127.0.0.1:8090" }
  tolls: { url: "http://127.0.0.1:8092", probe: "http://127.0.0.1:8093/readyz" }
routes:
  tolls:   # keep this
    prefix: /v1/tolls
    sides: # façade, and one line for both
      [{ upstream: monolith, weight: 100 }, { upstream: tolls, weight: 0 }] # and this
    shadow: { upstream: tolls, percent: 5, ignore: ["/items/*/created_at"] }
  parcels:
    prefix: /v1/parcels
    sides:
      - upstream: monolith
        weight: 100
`

// replace is a change of nothing but the file.
func replace(n next) error { return n.replace() }

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
		return func() error { return change(link, Weights(route, weights), replace) }
	}
	rollback := func() error { return change(link, Rollback, replace) }
	canary := strings.NewReplacer("weight: 100 }", "weight: 90 }", "weight: 0 }", "weight: 10 }").Replace(good)
	file, err := routes.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	created, _ := yaml.Marshal(file)
	create := func() error { return Create(path, file) }
	write := func(path, text string) func() error {
		return func() error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	// Here both routes have the same numbers.
	shared := strings.NewReplacer("[{ up", "&sides [{ up", "sides:\n      - upstream: monolith\n        weight: 100\n",
		"sides: *sides\n").Replace(good)
	for i, step := range []struct {
		change  func() error
		refused string // "" if it is not
		want    string
	}{
		{rollback, "no version before", good},
		{set("tolls", 90), "add up to 90", good},
		{set("parcels", 100, 0), "route parcels has no side tolls, but monolith: seam route add", good},
		{set("ledger", 100), "no route ledger; there are parcels, tolls", good},
		{set("tolls", 90, 10), "", canary},
		{set("tolls", 90, 10), "", canary}, // nothing changes, and the previous version stays
		{rollback, "", good},
		{rollback, "", canary},
		{set("parcels", 0), "add up to 0", canary},
		// There is no rollback to an earlier run's routes: its processes no longer serve.
		{create, "", string(created)},
		{rollback, "no version before", string(created)},
		{write(path, good), "", good},
		{set("tolls", 90, 10), "", canary},
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
	both := good + "      - upstream: tolls\n        weight: 0\n"
	if err := os.WriteFile(path, []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, route := range []string{"parcels", "tolls"} {
		group.Go(func() {
			for i := range 60 {
				weight := i % 2 * 100
				if err := change(path, Weights(route, map[string]int{"monolith": weight, "tolls": 100 - weight}), replace); err != nil {
					t.Error(err)
				}
				if file, err := routes.Load(path); err != nil || file.Routes[route].Sides[0].Weight != weight {
					t.Errorf("change %d of %s is lost: %v", i, route, err)
				}
			}
		})
	}
	group.Wait()
}

// A change of weights changes nothing else.
func FuzzWeights(f *testing.F) {
	const weight = "weight: 100 }, {"
	for _, text := range []string{
		good, strings.ReplaceAll(good, "\n", "\r\n"), "\ufeff" + good, "routes: &r { x: *r }", "- a", "{", "null", "a: !!binary x",
		strings.Replace(good, weight, `"weight": "100" }, {`, 1),
		strings.Replace(good, weight, "weight: 0b1100100 }, {", 1),
		strings.Replace(good, weight, "weight: &w 100 }, {", 1),
		strings.NewReplacer(weight, "weight: &w 100 }, {", "weight: 100\n", "weight: *w\n").Replace(good),
		strings.Replace(good, "monolith: {", "\U0001F375: { url: http://t }\n  monolith: {", 1),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := routes.Parse(data)
		if err != nil {
			return
		}
		for name, route := range file.Routes {
			want, _ := routes.Parse(data)
			weights := map[string]int{} // the last side takes all
			for i, side := range route.Sides {
				weights[side.Upstream] = (i + 1) / len(route.Sides) * 100
				want.Routes[name].Sides[i].Weight = weights[side.Upstream]
			}
			next, err := setWeights(data, name, weights)
			if err != nil {
				continue
			}
			if changed, err := routes.Parse(next); err == nil && !reflect.DeepEqual(changed, want) { // change refuses an error
				t.Errorf("%q with %v for %s is\n%+v, want\n%+v", data, weights, name, changed, want)
			}
		}
	})
}
