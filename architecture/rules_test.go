package architecture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// root is the repository's root, relative to this package.
const root = ".."

// rule is one boundary. lab/plants proves that it refuses its violations.
type rule struct {
	name  string // in known.yaml and as the test's name
	why   string // the consequence of a violation in one sentence, and its heading in README.md
	asks  bool   // it needs what the modules say of themselves
	check func(Tree) findings
}

// findings are the result of a rule.
type findings struct {
	subjects int // how many things it checked: a rule that checked none is broken
	broken   []violation
}

// violation is one place that breaks a rule.
type violation struct {
	at   string // a file of the repository, with a line where there is one
	what string // what is wrong there
	fix  string // what to do instead
}

// message is the violation's text: where and what, then how to fix it. Why is printed once for a
// rule.
func (v violation) message() string { return fmt.Sprintf("%s: %s\n  instead: %s", v.at, v.what, v.fix) }

// add records a violation.
func (f *findings) add(at, what, fix string) {
	f.broken = append(f.broken, violation{at, what, fix})
}

// all are the rules, in the order in which to read them.
var all = []rule{
	imports, requires, layout, modules, contextmap, conduct, migrated, sql, sqlInGo, settings, binaries, thinFacade,
	contracts, routing, ledger, firstService, infrastructure, derived,
}

// readOnce reads the repository, and asks its modules.
var readOnce = sync.OnceValues(func() (Tree, error) {
	tree, err := Read(root)
	if err != nil {
		return nil, err
	}
	return tree.Ask(context.Background(), root)
})

func repository(t *testing.T) Tree {
	t.Helper()
	tree, err := readOnce()
	if err != nil {
		t.Skip("the repository cannot be read, or its modules not be asked: TestRules says why")
	}
	return tree
}

// TestRules checks the repository by every rule. What known.yaml lists passes, and fails once it no
// longer occurs.
func TestRules(t *testing.T) {
	t.Parallel()
	tree, err := readOnce()
	if tree == nil {
		t.Fatal(err)
	}
	if err != nil { // as when they do not compile: the other rules may say why
		fmt.Fprintln(t.Output(), err)
		t.Fail()
	}
	known, unreadable := parseKnown(tree[knownFile])
	if unreadable != nil {
		t.Fatalf("%s: %v", knownFile, unreadable)
	}
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if r.asks && err != nil {
				t.Skip("the modules could not be asked")
			}
			found := r.check(tree)
			if found.subjects+len(found.broken) == 0 {
				t.Fatalf("the rule found nothing to check: it is broken, or its subject has moved")
			}
			fresh, stale := known.sift(r.name, found.broken)
			for _, v := range fresh {
				fmt.Fprintln(t.Output(), v.message()) // t.Error would print this file and line first
				t.Fail()
			}
			if len(fresh) > 0 {
				fmt.Fprintf(t.Output(),
					"  why: %s [rule %s]\n", r.why, r.name)
			}
			for _, k := range stale {
				fmt.Fprintf(t.Output(), "%s: lists %q for rule %s, which does not occur any more\n"+
					"  instead: remove the entry, so that it cannot come back\n", knownFile, k.At+": "+k.What, r.name)
				t.Fail()
			}
		})
	}
}

// TestPlanted reports, for lab/plants, what a rule, or all, finds in trees that differ from the
// repository.
func TestPlanted(t *testing.T) {
	folder := os.Getenv("ARCHITECTURE_PLANTED")
	if folder == "" {
		t.Skip("lab/plants runs it")
	}
	text, err := os.ReadFile(filepath.Join(folder, "planted.json")) //nolint:gosec // the caller's own
	var planted []struct {
		Rule  string
		Files map[string]*string // a text, or null for a file that is gone
	}
	if err == nil {
		err = json.Unmarshal(text, &planted)
	}
	if err != nil {
		t.Fatal(err)
	}
	found := make([]map[string][]string, len(planted)) // messages, by rule
	for i, p := range planted {
		found[i] = map[string][]string{}
		tree := maps.Clone(repository(t))
		for name, text := range p.Files {
			if delete(tree, name); text != nil {
				tree[name] = *text
			}
		}
		for _, r := range all {
			if p.Rule != "" && p.Rule != r.name {
				continue
			}
			found[i][r.name] = []string{}
			for _, v := range r.check(tree).broken {
				found[i][r.name] = append(found[i][r.name], v.message())
			}
		}
	}
	if text, err = json.Marshal(found); err == nil {
		err = os.WriteFile(filepath.Join(folder, "found.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const knownFile = "architecture/known.yaml"

// exception is a known violation with an owner, until it is fixed.
type exception struct {
	At     string `yaml:"at"`   // the file, without a line, which would move
	What   string `yaml:"what"` // the rule's text
	Owner  string `yaml:"owner"`
	Reason string `yaml:"reason"`
	Since  string `yaml:"since"` // as 2006-01-02
}

// exceptions are the known violations by rule: a code base that breaks rules can adopt them, and
// cannot get worse.
type exceptions map[string][]exception

func parseKnown(text string) (exceptions, error) {
	var known exceptions
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&known); err != nil && !errors.Is(err, io.EOF) { // the file may have comments only
		return nil, err
	}
	for name, entries := range known {
		if !slices.ContainsFunc(all, func(r rule) bool { return r.name == name }) {
			return nil, fmt.Errorf("there is no rule %s; there are %s", name, strings.Join(ruleNames(), ", "))
		}
		for _, e := range entries {
			if _, err := time.Parse(time.DateOnly, e.Since); err != nil || e.At == "" || e.What == "" ||
				e.Owner == "" || e.Reason == "" {
				return nil, fmt.Errorf("an entry of rule %s (at %q) needs at, what, owner, "+
					"reason and since (as 2026-01-31)", name, e.At)
			}
		}
	}
	return known, nil
}

func ruleNames() []string {
	names := map[string]bool{}
	for _, r := range all {
		names[r.name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// sift returns the violations that are not listed, and the entries that match none. An entry
// matches one violation: the same again in its file is a new one.
func (known exceptions) sift(name string, broken []violation) (fresh []violation, stale []exception) {
	stale = slices.Clone(known[name])
	for _, v := range broken {
		file, _, _ := strings.Cut(v.at, ":")
		i := slices.IndexFunc(stale, func(k exception) bool { return k.At == file && k.What == v.what })
		if i < 0 {
			fresh = append(fresh, v)
			continue
		}
		stale = slices.Delete(stale, i, i+1)
	}
	return fresh, stale
}
