package plants

import "strings"

func init() {
	plants["ledger"] = set{
		refuses: []plant{
			{name: "no measurement", file: ledgerFile, whole: true, text: strings.Replace(example, "measurement:", "#", 1),
				want: "no measurement"},
			{name: "a measurement without a figure", file: ledgerFile, whole: true,
				text: measurement.ReplaceAllString(example, "measurement: notifications is too big"),
				want: "no measurement"},
			{name: "a measurement of one digit", file: ledgerFile, whole: true,
				text: measurement.ReplaceAllString(example, "measurement: 1 (2026)"), want: "no measurement"},
			{name: "a measurement from nowhere", file: ledgerFile, whole: true,
				text: measurement.ReplaceAllString(example, "measurement: 7 days become 0"), want: "no measurement"},
			{name: "a word for a reason", file: ledgerFile, whole: true,
				text: strings.Replace(example, "module: notifications", "module: notifications\n    despite: legacy", 1),
				want: "despite is no measured reason"},
			{name: "a dual run after it was cut over", file: ledgerFile, whole: true,
				text: strings.Replace(example, "dual_run_ends: 2026-04-10", "dual_run_ends: 2026-04-11", 1),
				want: "dual_run_ends is after"},
			{name: "a trigger that is none", file: ledgerFile, whole: true,
				text: strings.Replace(example, "isolation", "modernisation", 1), want: "none of scaling"},
			{name: "no end of the dual run", file: ledgerFile, whole: true,
				text: strings.Replace(example, "dual_run_ends:", "#", 1), want: "last day"},
			{name: "no deadline", file: ledgerFile, whole: true,
				text: strings.Replace(example, "decommissioned: 2026-06-30", "", 1), want: `"decommissioned" has no day`},
			{name: "a module that is none", file: ledgerFile, whole: true,
				text: strings.Replace(example, "module: notifications", "module: notifcations", 1), want: "no module notifcations"},
			{name: "a second document", file: ledgerFile, whole: true, text: example + "---\n" + example,
				want: "more than one document"},
			{name: "a field that is none", file: ledgerFile, whole: true,
				text: strings.Replace(example, "dual_run_ends", "dual_run_end", 1), want: "dual_run_end"},
		},
		accepts: []plant{
			{name: "a canary with all its dates", file: ledgerFile, whole: true, text: example},
			{name: "one that is late", file: ledgerFile, whole: true, text: strings.ReplaceAll(example, "2026", "2019")},
		},
	}
}
