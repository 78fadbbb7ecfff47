package architecture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// root is the repository's root, relative to this package.
const root = ".."

// rule is one boundary. Its plants prove that it works.
type rule struct {
	name  string // in known.yaml and as the test's name
	why   string // the consequence of a violation in one sentence, and its heading in README.md
	asks  bool   // it needs what the modules say of themselves
	check func(Tree) findings
	// refuses are violations, accepts are near misses. Each is planted in a copy of the tree.
	refuses, accepts []plant
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

// plant is a change of one file.
type plant struct {
	name string // what it is
	file string
	// The text of a new file; or text replaces old; or, without old, it is appended to an existing
	// file. Without both, the file is deleted; or a folder, if file ends with a slash.
	old, text string
	whole     bool                     // text replaces the whole file
	within    string                   // where the text begins in which old is looked for
	edit      func(text string) string // or this changes the file
	given     []plant                  // changes before this one, so that the tree of today does not matter
	want      string                   // a part of the violation's message
}

// in returns the tree with the plant.
func (p plant) in(t *testing.T, tree Tree) Tree {
	t.Helper()
	for _, g := range p.given {
		tree = g.in(t, tree)
	}
	before, there := tree[p.file]
	switch {
	case p.whole:
		return tree.With(p.file, p.text)
	case p.edit != nil:
		return tree.With(p.file, p.edit(before))
	case p.old == "" && p.text == "":
		return tree.Without(p.file)
	case p.old != "":
		if strings.Count(before, p.old) == 0 {
			t.Fatalf("%s has no %q to replace: the plant is stale", p.file, p.old)
		}
		from := strings.Index(before, p.within)
		return tree.With(p.file, before[:from]+strings.Replace(before[from:], p.old, p.text, 1))
	case there:
		return tree.With(p.file, before+"\n"+p.text)
	default:
		return tree.With(p.file, p.text)
	}
}

// all are the rules that need only the files, in the order in which to read them.
var all = []rule{
	imports, requires, layout, modules, contextmap, conduct, migrated, sql, sqlInGo, settings, binaries, thinFacade,
	contracts, homes, ledger, firstService, infrastructure, derived,
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
		t.Fatal(err)
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
	known := readKnown(t, tree)
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if r.asks && err != nil {
				t.Skip("the modules could not be asked")
			}
			found := r.check(tree)
			if found.subjects == 0 {
				t.Fatalf("the rule found nothing to check: it is broken, or its subject has moved")
			}
			fresh, stale := known.sift(r.name, found.broken)
			for _, v := range fresh {
				fmt.Fprintln(t.Output(), v.message()) // t.Error would print this file and line first
				t.Fail()
			}
			if len(fresh) > 0 {
				fmt.Fprintf(t.Output(),
					"  why: %s [rule %s]\n"+
						"(a code base that is older than the rule lists its violations in %s, with an owner)\n",
					r.why, r.name, knownFile)
			}
			for _, k := range stale {
				fmt.Fprintf(t.Output(), "%s: lists %q for rule %s, which does not occur any more\n"+
					"  instead: remove the entry, so that it cannot come back\n", knownFile, k.At+": "+k.What, r.name)
				t.Fail()
			}
		})
	}
}

// TestRulesRefusePlants checks that every rule refuses its planted violations with the right
// message, and accepts its near misses.
func TestRulesRefusePlants(t *testing.T) {
	t.Parallel()
	checkPlants(t, repository(t))
}

// checkPlants checks every rule by its plants in a tree.
func checkPlants(t *testing.T, tree Tree) {
	t.Helper()
	for _, r := range all {
		if len(r.refuses) == 0 || len(r.accepts) == 0 {
			t.Errorf("rule %s has no planted violation, or no near miss", r.name)
		}
		before := len(r.check(tree).broken)
		for _, p := range r.refuses {
			t.Run(r.name+"/refuses "+p.name, func(t *testing.T) {
				t.Parallel()
				var messages []string
				for _, v := range r.check(p.in(t, tree)).broken {
					messages = append(messages, v.message())
				}
				if len(messages) <= before || !strings.Contains(strings.Join(messages, "\n"), p.want) {
					t.Errorf("got %q, want a message with %q", messages, p.want)
				}
			})
		}
		for _, p := range r.accepts {
			t.Run(r.name+"/accepts "+p.name, func(t *testing.T) {
				t.Parallel()
				if found := r.check(p.in(t, tree)); len(found.broken) > before {
					t.Errorf("it is refused: %s", found.broken[len(found.broken)-1].message())
				}
			})
		}
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

func readKnown(t *testing.T, tree Tree) exceptions {
	t.Helper()
	known, err := parseKnown(tree[knownFile])
	if err != nil {
		t.Fatalf("%s: %v", knownFile, err)
	}
	return known
}

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
