package architecture

import (
	"maps"
	"slices"

	"example.com/shop/cmd/gateway/routes"
)

// routing checks every committed routes file as the façade does, so that a mistake is refused
// before a façade reads it. No route leads to a monolith without the module.
var routing = rule{
	name: "routing",
	why: "a façade does not start with a table that it cannot read, and a route to a process without the module fails each request; " +
		`see "Monolith code that is never deleted" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, file := range t.routeTables() {
			f.subjects++
			table, err := routes.Parse([]byte(t[file]))
			if err != nil {
				f.add(file, err.Error(),
					"correct it: bin/seam route check checks the file that GATEWAY_ROUTES names; "+
						"deploy/routes.yaml explains the fields")
			}
			for _, name := range slices.Sorted(maps.Keys(table.Routes)) {
				route := table.Routes[name]
				there := route.Shadow != nil && route.Shadow.Upstream == monolith ||
					slices.ContainsFunc(route.Sides, func(s routes.Side) bool { return s.Upstream == monolith })
				if there && isDecommissioned(t, route.Module()) {
					f.add(file, "route "+name+" leads to the monolith, which no longer runs "+route.Module(),
						"let it lead to the process of "+route.Module()+", as bin/seam module detach does")
				}
			}
		}
		return f
	},
}
