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
			{name: "data that nothing shows to have moved", file: ledgerFile, whole: true,
				text: strings.Replace(moved, record, "#", 1), want: "moved is missing"},
			{name: "a module that left its data behind", file: ledgerFile, whole: true,
				text: strings.Replace(decommissioned, record, "#", 1), want: `it is "decommissioned": nothing shows that the data has moved`},
			{name: "a word for a record", file: ledgerFile, whole: true,
				text: strings.Replace(moved, record, "moved: yes, on 2026-05-15", 1), want: "moved is no record of a move"},
			{name: "a record without what was compared", file: ledgerFile, whole: true,
				text: strings.Replace(moved, ", checksum 0123456789abcdef", "", 1), want: "moved is no record of a move"},
			{name: "the record of another day", file: ledgerFile, whole: true,
				text: strings.Replace(moved, "moved: 2026-05-15", "moved: 2026-05-14", 1), want: "is not on 2026-05-14, the day in moved"},
			{name: "the record of data that is back", file: ledgerFile, whole: true,
				text: strings.Replace(moved, "state: data moved", "state: cut over", 1), want: `and the state is "cut over"`},
			{name: "a second document", file: ledgerFile, whole: true, text: example + "---\n" + example,
				want: "more than one document"},
			{name: "a field that is none", file: ledgerFile, whole: true,
				text: strings.Replace(example, "dual_run_ends", "dual_run_end", 1), want: "dual_run_end"},
		},
		accepts: []plant{
			{name: "a canary with all its dates", file: ledgerFile, whole: true, text: example},
			{name: "data that has moved", file: ledgerFile, whole: true, text: moved},
			{name: "one that is late", file: ledgerFile, whole: true, text: strings.ReplaceAll(example, "2026", "2019")},
		},
	}
}
