package architecture

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const ledgerFile = "deploy/extractions.yaml"

// The states of an extraction, in order. Each but the last can be reversed.
const (
	Assessed       = "assessed"       // the reason is measured; nothing has moved
	Canary         = "canary"         // two processes serve requests and consume events for one schema
	CutOver        = "cut over"       // the new process serves alone, on the old database
	DataMoved      = "data moved"     // on a database of its own, with the record of how they got there
	Decommissioned = "decommissioned" // the monolith has neither its code nor its settings, the old database neither schema nor roles
)

// States are all states, in order.
var States = []string{Assessed, Canary, CutOver, DataMoved, Decommissioned}

// Triggers are the four reasons for an extraction. Each can be measured; "it is big" is none.
var Triggers = map[string]string{
	"scaling":   "it needs another amount or kind of machine than the rest",
	"releases":  "its changes wait for others' releases, or theirs for it",
	"isolation": "its faults, or the legal rules that it is under, must not reach the rest",
	"ownership": "another team answers for it, by day and by night",
}

// Ledger is deploy/extractions.yaml: which extractions are under way, why, and until when.
type Ledger struct {
	Extractions []Extraction `yaml:"extractions"`
}

// Extraction is the move of one module out of the monolith.
type Extraction struct {
	Module      string `yaml:"module"`
	Trigger     string `yaml:"trigger"`     // one of Triggers
	Measurement string `yaml:"measurement"` // the figure that shows the trigger, and where it comes from
	Owner       string `yaml:"owner"`       // who finishes it
	State       string `yaml:"state"`
	// When each state was reached, or is due.
	Dates map[string]Date `yaml:"dates"`
	// When two processes stop serving the same module; without an end a dual run is two systems.
	DualRunEnds Date   `yaml:"dual_run_ends"`
	Despite     string `yaml:"despite"` // why it is the first although others wait for it, measured as well; empty if none does
	Moved       string `yaml:"moved"`   // what seam move prints, as soon as the data has moved
	// By when the data of a module leaves the shared database, if a release that asked for no record
	// has decommissioned it with its data there. It stays beside moved, which is later then.
	DataDue Date `yaml:"data_due"`
}

// recordsSince is the day since which a module is decommissioned only with the record of its move.
var recordsSince = time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)

// Reached reports whether an extraction has come to a state, or past it.
func (e Extraction) Reached(state string) bool {
	return slices.Index(States, e.State) >= slices.Index(States, state)
}

// ledger returns the list of extractions, or an empty one if it cannot be read, as rule ledger
// reports.
func (t Tree) ledger() Ledger {
	list, _ := ParseLedger(t[ledgerFile])
	return list
}

// Left returns the decommissioned modules, which the monolith does not link any more.
func (l Ledger) Left() []string {
	var found []string
	for _, e := range l.Extractions {
		if e.State == Decommissioned {
			found = append(found, e.Module)
		}
	}
	return found
}

// Date is a day, as 2026-01-31.
type Date struct{ time.Time }

// UnmarshalYAML reads a day.
func (d *Date) UnmarshalYAML(node *yaml.Node) error {
	day, err := time.Parse(time.DateOnly, node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a day like 2026-01-31", node.Line, node.Value)
	}
	d.Time = day
	return nil
}

// ParseLedger reads the ledger. It refuses unknown fields: a misspelt deadline would never be due.
func ParseLedger(text string) (Ledger, error) {
	var ledger Ledger
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&ledger); err != nil {
		return Ledger{}, fmt.Errorf("read the ledger: %s", strings.Join(strings.Fields(err.Error()), " ")) // yaml's has lines
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Ledger{}, errors.New("read the ledger: more than one document: what follows a second --- is not read")
	}
	return ledger, nil
}

// Validate returns an error if an entry is incomplete or contradicts itself.
func (e Extraction) Validate() error {
	at := slices.Index(States, e.State)
	switch {
	case Triggers[e.Trigger] == "":
		return fmt.Errorf("trigger %q is none of scaling, releases, isolation and ownership", e.Trigger)
	case !measured(e.Measurement):
		return errors.New("there is no measurement: " + whatIsMeasured)
	case e.Despite != "" && !measured(e.Despite):
		return errors.New("despite is no measured reason: " + whatIsMeasured)
	case e.Owner == "":
		return errors.New("there is no owner")
	case at < 0:
		return fmt.Errorf("state %q is none of %s", e.State, strings.Join(States, ", "))
	case e.DualRunEnds.IsZero():
		return errors.New("dual_run_ends is missing: two processes for one module need a last day")
	}
	for name := range e.Dates {
		if !slices.Contains(States, name) {
			return fmt.Errorf("there is a date for %q, which is none of %s", name, strings.Join(States, ", "))
		}
	}
	var before Date
	for i, state := range States {
		date := e.Dates[state]
		there := !date.IsZero() // it may be written down and empty
		switch {
		case !there && i <= at:
			return fmt.Errorf("dates: %q was reached and has no day", state)
		case !there:
			return fmt.Errorf("dates: %q has no day on which it is due", state)
		case date.Before(before.Time):
			return fmt.Errorf("dates: %q is before the state that precedes it", state)
		}
		before = date
	}
	if cut := e.Dates[CutOver]; e.DualRunEnds.After(cut.Time) {
		return fmt.Errorf("dual_run_ends is after %q, where one process serves alone", CutOver)
	}
	return e.validateMoved()
}

// movedRecord matches the record of a move: its day, the server's system identifier and the
// database that the data is in, the epoch of its home there, and what was the same on both sides.
var movedRecord = regexp.MustCompile(`^(20[0-9]{2}-[0-9]{2}-[0-9]{2}) [0-9]+/\S+ epoch [0-9]+, [0-9]+ rows in [1-9][0-9]* tables, checksum [0-9a-f]{16}$`)

// validateMoved returns an error if the data is said to have moved without a record of that, or the
// other way round.
func (e Extraction) validateMoved() error {
	record := movedRecord.FindStringSubmatch(e.Moved)
	switch {
	case !e.Reached(DataMoved) && e.Moved != "":
		return fmt.Errorf("moved says that the data has moved, and the state is %q", e.State)
	case !e.Reached(DataMoved):
		return nil
	case !e.DataDue.IsZero() && (e.State != Decommissioned || !e.Dates[Decommissioned].Before(recordsSince)):
		return fmt.Errorf("data_due is for a module that was decommissioned before %s", recordsSince.Format(time.DateOnly))
	case !e.DataDue.IsZero() && e.Moved == "":
		return nil
	case e.Moved == "":
		return fmt.Errorf("moved is missing, and it is %q: nothing shows that the data has moved, and that all of it has; "+
			"bin/seam move status %s prints the line, or go back and switch again if a release before this one moved it; if one decommissioned "+
			"it with its data in the shared database, data_due says by when that moves", e.State, e.Module)
	case record == nil:
		return fmt.Errorf("moved is no record of a move: copy the line that bin/seam move status %s prints", e.Module)
	case e.DataDue.IsZero() && record[1] != e.Dates[DataMoved].Format(time.DateOnly):
		return fmt.Errorf("dates: %q is not on %s, the day in moved", DataMoved, record[1])
	}
	return nil
}

const whatIsMeasured = "say two figures, as they are and as they should be, and in parentheses where they are from and of when"

var (
	figure      = regexp.MustCompile(`\b[0-9][0-9.,]*`)
	datedSource = regexp.MustCompile(`\([^()]*\b20[0-9]{2}\b[^()]*\)`)
)

// measured reports whether a reason has two figures and a dated source. It cannot know whether they
// are true, which the owner of the entry answers for.
func measured(reason string) bool {
	figures := figure.FindAllString(datedSource.ReplaceAllString(reason, ""), -1)
	return len(figures) >= 2 && datedSource.MatchString(reason)
}

// Overdue returns which dates were missed on a day, and whether the state has one in the future.
func (e Extraction) Overdue(today time.Time) []string {
	// In today's time zone: the due day itself is in time until it ends there.
	late := func(d Date) bool { return today.Format(time.DateOnly) > d.Format(time.DateOnly) }
	var found []string
	tomorrow := today.AddDate(0, 0, 1).Format(time.DateOnly) // which it may be already, farther east
	if d := e.Dates[e.State].Format(time.DateOnly); d > tomorrow {
		found = append(found, fmt.Sprintf("%q is dated %s, which is in the future", e.State, d))
	}
	for _, state := range States[slices.Index(States, e.State)+1:] {
		if d := e.Dates[state]; late(d) {
			found = append(found, fmt.Sprintf("%q was due on %s, it is %q", state, d.Format(time.DateOnly), e.State))
			break // what follows is late because of this one
		}
	}
	if !e.DataDue.IsZero() && late(e.DataDue) {
		found = append(found, "its data was due to leave the shared database on "+e.DataDue.Format(time.DateOnly))
	}
	if (e.State == Assessed || e.State == Canary) && late(e.DualRunEnds) {
		found = append(found, "the dual run was due to end on "+e.DualRunEnds.Format(time.DateOnly))
	}
	return found
}
