package plants

import "strings"

func init() {
	plants["routing"] = set{
		refuses: []plant{
			{name: "weights that do not add up", file: "deploy/routes/canary.yaml", text: strings.Replace(canary, "weight: 90", "weight: 80", 1),
				want: "add up to 90"},
			{name: "a weight that is misspelt", file: "deploy/routes.yaml", old: "weight: 100", text: "wieght: 100",
				want: "deploy/routes.yaml"},
			{name: "a route leads to a monolith without the module", given: noneOfIt, file: "deploy/routes/left.yaml", text: canary,
				want: "deploy/routes/left.yaml: route notifications leads to the monolith"},
			{name: "a shadow of it does", given: noneOfIt, file: "deploy/routes/left.yaml",
				text: alone + "    shadow: {upstream: monolith, percent: 5}\n", want: "route notifications leads to the monolith"},
		},
		accepts: []plant{
			{name: "a canary", file: "deploy/routes/canary.yaml", text: canary},
			{name: "a route leads to the module's own process", given: noneOfIt, file: "deploy/routes/left.yaml", text: alone},
		},
	}
}

// noneOfIt is the ledger once the monolith has no notifications, with a table that knows it.
var noneOfIt = []plant{{file: ledgerFile, whole: true, text: decommissioned}, {file: "deploy/routes.yaml", whole: true, text: alone}}

// alone is a table in which notifications is a process of its own.
var alone = strings.NewReplacer("      - {upstream: monolith, weight: 90}\n", "", "weight: 10", "weight: 100").Replace(canary)
