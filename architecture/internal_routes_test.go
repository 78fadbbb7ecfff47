package architecture

import (
	"go/ast"
	"slices"
	"strings"
)

// checkRoutes refuses the call of a route that others than services may call: it is served at the
// public address, whose limits and floods it would share.
func (s *seams) checkRoutes() {
	internal := func(at, of, route string) {
		prefixes, _ := Internal(s.tree.Description(of).OpenAPI) // what cannot be read has none
		if !slices.ContainsFunc(prefixes, func(prefix string) bool { return under(route, prefix) }) {
			s.add(at, "services call "+route+", which is not for services alone",
				"call a route in modules/"+of+" with Security: web.Service, which is served to them alone, and beside it what customers call")
		}
	}
	var called []string
	for _, u := range s.uses.Calls {
		if strings.HasPrefix(u.Name, "/v1/") { // past the contract
			internal(u.At, u.Owner, u.Name)
		}
		called = append(called, u.Owner)
	}
	slices.Sort(called)
	for _, m := range slices.Compact(called) {
		for _, file := range s.tree.sources(Contract(m)) {
			ast.Inspect(s.tree.Go(file), func(n ast.Node) bool {
				if of, route := pathOf(n); of == m {
					internal(At(n), m, route)
				}
				return true
			})
		}
	}
}
