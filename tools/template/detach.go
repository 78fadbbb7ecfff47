package template

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"example.com/shop/architecture"
)

const ledgerFile = "deploy/extractions.yaml"

// Detached returns the files once a module has left the monolith for good: the monolith does not
// link it, its routes lead to its own process, and the ledger says so. done says what was changed;
// held lists what makes it impossible.
func (f Files) Detached(m string, today time.Time) (left Files, done, held []string, err error) {
	ledger, err := architecture.ParseLedger(f[ledgerFile].Text)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", ledgerFile, err)
	}
	at := slices.IndexFunc(ledger.Extractions, func(e architecture.Extraction) bool { return e.Module == m })
	if at < 0 {
		return nil, nil, nil, fmt.Errorf("%s has no entry for %s: begin with step 0 of deploy/EXTRACT.md", ledgerFile, m)
	}
	entry := ledger.Extractions[at]
	if err := entry.Validate(); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %s: %w", ledgerFile, m, err)
	}
	if !entry.Reached(architecture.DataMoved) {
		return nil, nil, nil, fmt.Errorf("%s is %q in %s, and leaves for good only once it is %q: go on with deploy/EXTRACT.md",
			m, entry.State, ledgerFile, architecture.DataMoved)
	}
	if stays := slices.DeleteFunc(f.Modules(), func(name string) bool { return name == m || slices.Contains(ledger.Left(), name) }); len(stays) == 0 {
		return nil, nil, nil, fmt.Errorf("%s is the last module of the monolith, which would be empty: run it as the monolith, or delete cmd/monolith by hand", m)
	}
	left = maps.Clone(f)
	held, err = left.prune("cmd/monolith", pruner{module: f.Path(), gone: []string{m}, apart: true})
	if err != nil || len(held) > 0 {
		return nil, nil, held, err
	}
	if left[root] == f[root] && entry.State == architecture.Decommissioned {
		return nil, nil, nil, fmt.Errorf("%s has left the monolith already", m)
	}
	done = append(done, "cmd/monolith no longer links it")
	for _, page := range left.sorted() {
		if !isRoutes(page) {
			continue
		}
		text, err := rerouted(left[page].Text, m)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: let the routes of %s lead to its own process by hand, and not to the %s: %w", page, m, monolith, err)
		}
		if text != left[page].Text {
			left.set(page, text)
			done = append(done, page+": its routes lead to its own process")
		}
	}
	text, err := decommission(f[ledgerFile].Text, at, entry, today)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: set %s to %q by hand first: %w", ledgerFile, m, architecture.Decommissioned, err)
	}
	left.set(ledgerFile, text)
	return left, append(done, ledgerFile+": it is "+architecture.Decommissioned), nil, nil
}

// Callers returns the modules of the monolith that call a module, according to the context map.
func (f Files) Callers(m string) (callers []string) {
	var agreed map[string]struct{ Calls map[string]string }
	if yaml.Unmarshal([]byte(f[contextMap].Text), &agreed) != nil { // rule contextmap reports it
		return nil
	}
	ledger, _ := architecture.ParseLedger(f[ledgerFile].Text)
	for _, from := range f.Modules() {
		if _, calls := agreed[from].Calls[m]; calls && !slices.Contains(ledger.Left(), from) {
			callers = append(callers, from)
		}
	}
	return callers
}

// decommission gives an entry of the ledger its last state, as of today.
func decommission(page string, at int, entry architecture.Extraction, today time.Time) (string, error) {
	set := func(value string, path ...string) (err error) {
		list, err := mapping(page, []string{"extractions"})
		if err != nil || list == nil || at >= len(list.Content) {
			return errors.Join(errors.New("there is no such entry"), err)
		}
		page, err = withScalar(page, below(list.Content[at], path...), value)
		return err
	}
	if entry.State == architecture.Decommissioned { // by hand, with its day
		return page, nil
	}
	err := set(architecture.Decommissioned, "state")
	if err == nil {
		err = set(today.Format(time.DateOnly), "dates", architecture.Decommissioned)
	}
	if err != nil {
		return "", err
	}
	ledger, err := architecture.ParseLedger(page)
	if err == nil {
		err = ledger.Extractions[at].Validate()
	}
	return page, err
}
