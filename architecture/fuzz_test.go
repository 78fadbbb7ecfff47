package architecture

import (
	"strings"
	"testing"
	"time"
)

// FuzzParseLedger checks that a ledger is refused or read to its end, and that a valid entry has
// all days of its deadlines.
func FuzzParseLedger(f *testing.F) {
	for _, text := range []string{
		"", "extractions: []", example, decommissioned, "\ufeff" + example, "---\n" + example,
		strings.ReplaceAll(example, "2026-04-10", "2026-02-30"), strings.ReplaceAll(example, "2026", "0000"),
		strings.Replace(example, "2026-04-10", "{}", 1), "extractions: [null]", "extractions: &x [*x]", "- a",
		strings.Replace(example, "assessed: 2026-03-02", "assessed: ", 1),
		example + strings.Replace(example, "extractions:\n", "", 1), strings.Replace(example, "grace", `"\0"`, 1),
	} {
		f.Add(text)
	}
	today := time.Date(2026, 4, 11, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseLedger(text)
		if err != nil {
			return
		}
		if _, err := ParseLedger(text + "\n---\nextractions: []\n"); err == nil {
			t.Errorf("%q: a second document is not read, and not refused", text)
		}
		list.Left()
		for _, e := range list.Extractions {
			e.Overdue(today) // of an invalid entry, too
			if e.Validate() != nil {
				continue
			}
			last := e.DualRunEnds
			for _, state := range States {
				day, there := e.Dates[state]
				if !there || day.IsZero() {
					t.Errorf("%q is valid, and %q has no day", text, state)
				}
				last = day
			}
			if e.DataDue.After(last.Time) {
				last = e.DataDue
			}
			// Long after the last day, only what is done is not late.
			if late := e.Overdue(last.AddDate(1, 0, 0)); (len(late) == 0) != (e.State == Decommissioned && e.DataDue.IsZero()) {
				t.Errorf("%q a year after its last day: %q", text, late)
			}
		}
	})
}
