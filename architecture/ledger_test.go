package architecture

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// ledger checks that the list of extractions is complete and consistent. A date that has passed is
// no violation, so that an old commit stays green; then seam ledger fails.
var ledger = rule{
	name: "ledger",
	why: "an extraction without a reason, an owner and a last day ends as two systems for ever; " +
		`see "Premature infrastructure" in architecture/README.md`,
	check: func(t Tree) findings {
		f := findings{subjects: len(t.Match(ledgerFile))}
		list, err := ParseLedger(t[ledgerFile])
		if err != nil {
			f.add(ledgerFile, err.Error(), "write it like the example in the file; an empty list is extractions: []")
			return f
		}
		var seen []string
		for _, e := range list.Extractions {
			err := e.Validate()
			switch {
			case !slices.Contains(t.Modules(), e.Module) && e.State != Decommissioned:
				f.add(ledgerFile, "there is no module "+e.Module, "name one of "+strings.Join(t.Modules(), ", "))
			case slices.Contains(seen, e.Module):
				f.add(ledgerFile, e.Module+" is in it twice", "keep one entry for each module, with all its dates")
			case err != nil:
				f.add(ledgerFile, e.Module+": "+err.Error(), "complete the entry like the example in the file")
			}
			seen = append(seen, e.Module)
		}
		return f
	},
}

const example = `extractions:
  - module: parcels
    trigger: isolation
    measurement: the audit of addresses covers 41,000 lines; 3,100 once parcels stands alone (audit of 2026-02)
    owner: grace
    state: canary
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: 2026-05-15, decommissioned: 2026-06-30}
    dual_run_ends: 2026-04-10
`

// decommissioned is the example in its last state.
var decommissioned = strings.Replace(example, "state: canary", "state: decommissioned\n    "+
	"moved: 2026-05-15 7443210987654321098/parcels epoch 2, 41000 rows in 12 tables, checksum 0123456789abcdef", 1)

func TestOverdue(t *testing.T) {
	t.Parallel()
	list, err := ParseLedger(example)
	if err != nil {
		t.Fatal(err)
	}
	canary := list.Extractions[0]
	for day, want := range map[string]int{
		"2026-04-10T23:00:00-07:00": 0, "2026-04-10T00:00:00+14:00": 0, // the day in its own time zone
		"2026-04-11T00:00:00-07:00": 2, "2026-07-02T12:00:00Z": 2,
		"2026-03-19T20:00:00-07:00": 0, "2026-03-18T12:00:00Z": 1, // a state may be dated tomorrow, but no later
	} {
		today, err := time.Parse(time.RFC3339, day)
		if err != nil {
			t.Fatal(err)
		}
		if late := canary.Overdue(today); len(late) != want {
			t.Errorf("on %s: %q, want %d", day, late, want)
		}
	}
	canary.State = Decommissioned
	if late := canary.Overdue(time.Now()); len(late) > 0 {
		t.Errorf("a decommissioned module is late: %q", late)
	}
	canary.DataDue = canary.Dates[Decommissioned]
	if late := canary.Overdue(time.Now()); len(late) != 1 {
		t.Errorf("data that was to leave the shared database: %q", late)
	}
}

func TestTheExampleInTheLedgerIsValid(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(repository(t)[ledgerFile], "# As in:")
	var lines []string
	for line := range strings.Lines(text) {
		if commented, ok := strings.CutPrefix(line, "#   "); ok {
			lines = append(lines, "  "+commented)
		}
	}
	list, err := ParseLedger("extractions:\n" + strings.Join(lines, ""))
	if err != nil || len(list.Extractions) != 1 {
		t.Fatalf("%d entries: %v", len(list.Extractions), err)
	}
	if err := list.Extractions[0].Validate(); err != nil {
		t.Error(err)
	}
}
