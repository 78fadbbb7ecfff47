package architecture

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"example.com/shop/cmd/gateway/routes"
)

// derived compares the files that follow from the modules, such as the map in the architecture's
// page, with what they would be now.
var derived = rule{
	name: "derived",
	why: "an outdated map is worse than none: people plan an extraction by it; " +
		"see \"A distributed monolith\" in architecture/README.md",
	asks: true,
	check: func(t Tree) findings {
		var f findings
		if broken := contextmap.check(t).broken; len(broken) > 0 {
			return findings{subjects: len(broken)} // which is said there, and comes first
		}
		files, err := t.Derived()
		if err != nil {
			f.add("deploy and "+Readme, err.Error(), "correct it, and run make generate")
			return f
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f.subjects++
			if files[name] != strings.ReplaceAll(t[name], "\r\n", "\n") {
				f.add(name, "is outdated", "run make generate, and review the change")
			}
		}
		for _, name := range t.Outdated(files) {
			f.add(name, "describes what no module has", "run make generate, and review the change")
		}
		return f
	},
}

// Once a module has left the monolith, compose.yaml is a whole system all the same: it has the
// module's process and database, the broker, and a façade with a table that leads to both
// processes.
func TestComposeOnceAModuleHasLeft(t *testing.T) {
	t.Parallel()
	tree := repository(t)
	m := tree.Modules()[0]
	files := func(ledger string) (compose struct {
		Services map[string]struct {
			Environment map[string]string
			Ports       []string
		}
	}, table string) {
		files, err := tree.With(ledgerFile, ledger).Without(mixedTable).Derived()
		if err == nil {
			err = yaml.Unmarshal([]byte(files["deploy/compose.yaml"]), &compose)
		}
		if err != nil {
			t.Fatal(err)
		}
		return compose, files[mixedTable]
	}
	one, table := files("extractions: []\n")
	_, broker := one.Services["broker"]
	if _, before := one.Services[facade]; before || broker || one.Services[monolith].Ports == nil || table != "" {
		t.Errorf("before: %v, routes %q", one.Services, table)
	}
	several, table := files(strings.ReplaceAll(decommissioned, "parcels", m))
	for _, service := range []string{"broker", "provision", "postgres-2", facade, monolith, m, "migrate-" + m, "seed-" + m} {
		if _, there := several.Services[service]; !there {
			t.Errorf("it does not start %s", service)
		}
	}
	address := strings.ToUpper(m) + "_DATABASE_URL"
	if several.Services[monolith].Ports != nil || several.Services[facade].Ports == nil || several.Services[monolith].Environment["BUS"] != "nats" ||
		several.Services[monolith].Environment[address] != "" || several.Services[m].Environment[address] == "" {
		t.Errorf("%+v", several.Services)
	}
	for service, url := range map[string]string{"setup": "_ADMIN_URL", "migrate-" + m: "_MIGRATE_URL", "seed-" + m: "_MIGRATE_URL", m: "_DATABASE_URL", "operate": "_DATABASE_URL"} {
		if is := several.Services[service].Environment[strings.ToUpper(m)+url]; !strings.HasSuffix(is, "@postgres-2:5432/"+m) {
			t.Errorf("%s looks for the data of %s at %q", service, m, is)
		}
	}
	read, err := routes.Parse([]byte(table))
	if err != nil || len(read.Routes) != len(tree.Modules()) {
		t.Fatalf("%v: %s", err, table)
	}
	for name, route := range read.Routes {
		if leads := route.Sides[0].Upstream; (leads == monolith) == (name == m) || read.Upstreams[leads].URL != "http://"+leads+":8080" {
			t.Errorf("%s leads to %s, %v", name, leads, read.Upstreams[leads])
		}
	}
}
