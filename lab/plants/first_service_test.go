package plants

import "strings"

func init() {
	plants["first-service"] = set{
		refuses: []plant{
			{name: "inventory first", file: ledgerFile, whole: true,
				text: strings.Replace(example, "module: payments", "module: inventory", 1),
				want: "inventory is the first extraction, and orders calls it"},
		},
		accepts: []plant{
			{name: "payments first", file: ledgerFile, whole: true, text: example},
			{name: "inventory first, for a reason", file: ledgerFile, whole: true,
				text: strings.Replace(example, "module: payments",
					"module: inventory\n    despite: 39 of 40 pickers work in a hall without a network, where 1 works today (plan of 2026-02)", 1)},
		},
	}
}
