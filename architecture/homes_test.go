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
	refuses: []plant{
		{name: "a canary across two homes", file: "deploy/routes/canary.yaml", text: canary("new"),
			want: "are both written to"},
		{name: "a weight that is misspelt", file: "deploy/routes.yaml", old: "weight: 100", text: "wieght: 100",
			want: "deploy/routes.yaml"},
	},
	accepts: []plant{
		{name: "a canary in one home", file: "deploy/routes/canary.yaml", text: canary("shop")},
	},
}

func canary(home string) string {
	return `upstreams:
  monolith: {url: "http://127.0.0.1:8090"}
  payments: {url: "http://127.0.0.1:8092"}
routes:
  payments:
    prefix: /v1/payments
    sides:
      - {upstream: monolith, weight: 90, home: shop}
      - {upstream: payments, weight: 10, home: ` + home + `}
`
}
