package architecture

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// modules says what belongs to a module besides its code. Each part that is forgotten is found here, and not when the module leaves.
var modules = rule{
	name: "modules",
	why: "a module that lacks its own schema, role, page or way out can only live inside the monolith; " +
		`see "A shared database" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, m := range t.Modules() {
			f.subjects++
			for _, part := range parts {
				if at := strings.ReplaceAll(part.at, "%", m); !part.there(t, m, at) {
					f.add(at, strings.ReplaceAll(part.what, "%", m), strings.ReplaceAll(part.fix, "%", m))
				}
			}
		}
		return f
	},
	refuses: []plant{
		{name: "no canvas", file: "modules/orders/README.md", want: "modules/orders/README.md: the module orders has no canvas"},
		{name: "a canvas without its tables", file: "modules/orders/README.md", old: "| **Tables** |", text: "| |", want: "the module orders has no canvas"},
		{name: "no schema", file: "migrations/orders/", want: "migrations/orders: the module orders has no schema"},
		{name: "no role", file: "topology/topology.go", old: "var Modules = []string{", text: "var Modules = []string{}\n\nvar others = []string{", want: "the module orders gets no role and no schema"},
		{name: "no process of its own", file: "cmd/orders/", want: "cmd/orders: the module orders has no process"},
		{name: "no route", file: "deploy/routes.yaml", old: "prefix: /v1/orders", text: "prefix: /v1/bestellungen", want: "deploy/routes.yaml: no route leads to orders"},
		{name: "not in the workspace", file: "go.work", old: "\t./modules/orders\n", text: "", want: "go.work: does not use"},
		{name: "not in the map", file: "architecture/contextmap.yaml", old: "\norders:", text: "\nbestellungen:", want: "architecture/contextmap.yaml: has no entry for orders"},
		{name: "not served by the monolith", file: "cmd/monolith/config.go", old: "var modules = []string{", text: "var modules = []string{}\n\nvar others = []string{", want: "MODULES does not know orders"},
	},
	accepts: []plant{
		{name: "a module that publishes nothing has no contract", file: "modules/payments/paymentsapi/"},
		{name: "a canvas that says more", file: "modules/orders/README.md", text: "More of orders is in the wiki."},
	},
}

// parts belong to every module; % stands for its name.
var parts = []struct {
	at, what, fix string
	there         func(t Tree, module, at string) bool
}{
	{
		"modules/%/README.md", "the module % has no canvas, or one without Owns, Publishes, Listens to, Tables and Rules",
		"write it as modules/orders/README.md is written, in at most 40 lines",
		func(t Tree, _, at string) bool {
			for _, row := range []string{"Owns", "Publishes", "Listens to", "Tables", "Rules"} {
				if !strings.Contains(t[at], "| **"+row+"** |") {
					return false
				}
			}
			return true
		},
	},
	{
		"migrations/%", "the module % has no schema", "write migrations/%/0001_%.sql and an embed.go, as in migrations/orders",
		func(t Tree, _, at string) bool {
			return len(t.Match(at+"/0001_*.sql")) > 0 && len(t.Match(at+"/*.go")) > 0
		},
	},
	{
		"topology/topology.go", "the module % gets no role and no schema", `add "%" to topology.Modules: seam makes roles and schemas for what is listed there`,
		func(t Tree, m, at string) bool { return listed(t[at], "Modules", m) },
	},
	{
		"cmd/%", "the module % has no process of its own", "write cmd/%/main.go, serve.go and config.go, as in cmd/payments",
		func(t Tree, _, at string) bool { return len(t.Match(at+"/*.go")) > 0 },
	},
	{
		"cmd/monolith/config.go", "the monolith's MODULES does not know %", `add "%" to modules, and serve it in main.go`,
		func(t Tree, m, at string) bool { return listed(t[at], "modules", m) || gone(t, m) },
	},
	{
		"deploy/routes.yaml", "no route leads to %", "add a route with the prefix /v1/%",
		func(t Tree, m, at string) bool {
			return regexp.MustCompile(`(?m)prefix: /v1/` + m + `$`).MatchString(t[at])
		},
	},
	{
		"go.work", "does not use modules/%, or its contract", "add ./modules/% (and ./modules/%/%api) to use",
		func(t Tree, m, at string) bool {
			for _, mod := range append(t.Match("modules/"+m+"/go.mod"), t.Match("modules/"+m+"/*/go.mod")...) {
				if !strings.Contains(t[at], "\t./"+strings.TrimSuffix(mod, "/go.mod")+"\n") {
					return false
				}
			}
			return true
		},
	},
	{
		"architecture/contextmap.yaml", "has no entry for %", "say there what % listens to and whom it calls; nothing is an answer too: %: {}",
		func(t Tree, m, at string) bool {
			var entries map[string]any
			err := yaml.Unmarshal([]byte(t[at]), &entries)
			_, listed := entries[m]
			return err == nil && listed
		},
	},
}

// listed says that a Go file's list of strings of that name holds the module.
func listed(text, name, module string) bool {
	list := regexp.MustCompile(`(?m)^var ` + name + ` = \[\]string\{(.*)\}$`).FindStringSubmatch(text)
	return list != nil && strings.Contains(list[1], fmt.Sprintf("%q", module))
}

// TestAFifthModule adds a module by hand, a twin of payments, and touches no test: the rules take it as it is and bite as before, and none
// of its parts can be left out.
func TestAFifthModule(t *testing.T) {
	t.Parallel()
	tree := withTwin(t, repository(t))
	bite(t, tree)
	for _, r := range all {
		for _, v := range r.check(tree).broken {
			t.Error(v.tell(r))
		}
	}
	for _, part := range []string{"modules/twin/README.md", "migrations/twin/", "cmd/twin/", "modules/twin/twinapi/"} {
		if len(modules.check(tree.Without(part)).broken)+len(contextmap.check(tree.Without(part)).broken) == 0 {
			t.Errorf("it may do without %s", part)
		}
	}
	for _, file := range []string{"topology/topology.go", "cmd/monolith/config.go", "deploy/routes.yaml", "go.work", "architecture/contextmap.yaml"} {
		if len(modules.check(tree.With(file, repository(t)[file])).broken) == 0 {
			t.Errorf("%s may do without it", file)
		}
	}
}

// withTwin adds a module that is payments under another name, in all places where somebody has to say that there is one more.
func withTwin(t *testing.T, tree Tree) Tree {
	t.Helper()
	twin := func(text string) string {
		return strings.NewReplacer("payments", "twin", "PAYMENTS", "TWIN", "attempts", "tries").Replace(text)
	}
	with := maps.Clone(tree)
	for file, text := range tree {
		if under(file, "modules/payments") || under(file, "migrations/payments") || under(file, "cmd/payments") {
			with[twin(file)] = twin(text)
		}
	}
	for _, p := range []plant{
		{file: "go.work", old: "\t./modules/inventory\n", text: "\t./modules/twin\n\t./modules/twin/twinapi\n\t./modules/inventory\n"},
		{file: "topology/topology.go", old: `Modules = []string{`, text: `Modules = []string{"twin", `},
		{file: "cmd/monolith/config.go", old: `modules = []string{`, text: `modules = []string{"twin", `},
		{file: "cmd/monolith/main.go", old: "import (", text: "import (\n\t\"example.com/shop/modules/twin\""},
		{file: "deploy/routes.yaml", old: "\nroutes:\n", text: "\nroutes:\n  twin:\n    prefix: /v1/twin\n    sides: [{ upstream: monolith, weight: 100, home: shop }]\n"},
		{file: "architecture/contextmap.yaml", text: `twin:
  listens_to: [orders.payment_due.v1, orders.cancelled.v1]
  public: {twin.captured.v1: the world, twin.declined.v1: the world, twin.refunded.v1: the world}
`},
	} {
		with = p.in(t, with)
	}
	// What make generate and seam map --write do.
	with[contractsFolder+"/twin"+openapiSuffix] = twin(with[contractsFolder+"/payments"+openapiSuffix])
	for _, e := range with.Events() {
		with[schemaFile(e.Topic)] = with.Schema(e)
	}
	for name, text := range with.Model().Generated() {
		with[Readme], _ = Fill(with[Readme], name, text)
	}
	return with
}
