package architecture

import (
	"slices"

	"example.com/shop/cmd/gateway/routes"
)

// homes checks every committed routes file as the façade does, so that one which writes to two
// databases is refused before a façade reads it.
var homes = rule{
	name: "homes",
	why: "two databases that are both written to drift apart, and no rollback of a route brings them together; " +
		`see "Dual writes that never end" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, file := range slices.Concat(t.Match("deploy/routes.yaml"), t.Match("deploy/routes/*.yaml")) {
			f.subjects++
			if _, err := routes.Parse([]byte(t[file])); err != nil {
				f.add(file, err.Error(),
					"correct it: bin/seam route check checks the file that GATEWAY_ROUTES names; "+
						"deploy/routes.yaml explains the fields")
			}
		}
		return f
	},
}
