package architecture

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// root is the repository, as seen from this package.
const root = ".."

// rule is one boundary. Its plants prove that it bites: without them it might as well not exist.
type rule struct {
	name  string // as known.yaml and the mutants say it
	why   string // what becomes of a product that lets it pass; one sentence, then the anti-pattern's heading in README.md
	check func(Tree) findings
	// refuses are ways to cross this boundary, accepts are near misses. Each is written into a copy of the tree.
	refuses, accepts []plant
}

// findings are what a rule saw.
type findings struct {
	subjects int // how many things it looked at: a rule that saw none is broken, not satisfied
	broken   []violation
}

// violation is one place where a rule is broken.
type violation struct {
	at   string // a file of the repository, with a line where there is one
	what string // what is wrong there
	fix  string // what to do instead
}

// tell is what its author reads: what and where first, then how to mend it. Why it matters is told once for a rule.
func (v violation) tell() string { return fmt.Sprintf("%s: %s\n  instead: %s", v.at, v.what, v.fix) }

// add records a violation.
func (f *findings) add(at, what, fix string) {
	f.broken = append(f.broken, violation{at, what, fix})
}

// plant is a change of one file.
type plant struct {
	name string // what it stands for
	file string
	// The whole text of a new file; or old is replaced by text; or text is added to the end of a file that is there when old is empty.
	// A file whose text and old are both empty is deleted; a folder too, with a slash at its end.
	old, text string
	whole     bool    // text is the whole file, whatever is in it today
	given     []plant // what has to be so before, whatever the tree is like today
	want      string  // a part of the message, for a violation
}

// in returns the tree with the plant in it.
func (p plant) in(t *testing.T, tree Tree) Tree {
	t.Helper()
	for _, g := range p.given {
		tree = g.in(t, tree)
	}
	before, there := tree[p.file]
	switch {
	case p.whole:
		return tree.With(p.file, p.text)
	case p.old == "" && p.text == "":
		return tree.Without(p.file)
	case p.old != "":
		if strings.Count(before, p.old) == 0 {
			t.Fatalf("%s has no %q to replace: the plant is stale", p.file, p.old)
		}
		return tree.With(p.file, strings.Replace(before, p.old, p.text, 1))
	case there:
		return tree.With(p.file, before+"\n"+p.text)
	default:
		return tree.With(p.file, p.text)
	}
}

// all are the rules that need nothing but the files, in the order in which somebody should read them.
var all = []rule{
	imports, requires, layout, modules, contextmap, sql, sqlInGo, settings, binaries, thinFacade, eventSchemas, contracts, homes, ledger, firstService, infrastructure, readme,
}

func repository(t *testing.T) Tree {
	t.Helper()
	tree, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestRules holds the repository to every rule. What known.yaml lists is let pass, and fails once it no longer occurs.
func TestRules(t *testing.T) {
	t.Parallel()
	tree := repository(t)
	known := readKnown(t, tree)
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			found := r.check(tree)
			if found.subjects == 0 {
				t.Fatalf("the rule saw nothing to look at: it is broken, or what it guards has moved")
			}
			fresh, mended := known.sift(r.name, found.broken)
			for _, v := range fresh {
				fmt.Fprintln(t.Output(), v.tell()) // not by t.Error: the first words are what and where, and not where in this file
				t.Fail()
			}
			if len(fresh) > 0 {
				fmt.Fprintf(t.Output(), "  why: %s [rule %s]\n(a code base that did this before it had the rule lists it in %s, with who answers for it)\n", r.why, r.name, knownFile)
			}
			for _, k := range mended {
				fmt.Fprintf(t.Output(), "%s: lists %q for rule %s, which does not occur any more\n  instead: remove the entry, so that it cannot come back\n",
					knownFile, k.At+": "+k.What, r.name)
				t.Fail()
			}
		})
	}
}

// TestRulesBite writes every plant into a copy of the tree: a violation must be refused, by a message that says so, and a near miss
// accepted.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	bite(t, repository(t))
}

// bite holds every rule to its plants in a tree.
func bite(t *testing.T, tree Tree) {
	t.Helper()
	for _, r := range all {
		if len(r.refuses) == 0 || len(r.accepts) == 0 {
			t.Errorf("rule %s has no planted violation, or no near miss", r.name)
		}
		before := len(r.check(tree).broken)
		for _, p := range r.refuses {
			t.Run(r.name+"/refuses "+p.name, func(t *testing.T) {
				t.Parallel()
				var told []string
				for _, v := range r.check(p.in(t, tree)).broken {
					told = append(told, v.tell())
				}
				if len(told) <= before || !strings.Contains(strings.Join(told, "\n"), p.want) {
					t.Errorf("it says %q and nothing of %q", told, p.want)
				}
			})
		}
		for _, p := range r.accepts {
			t.Run(r.name+"/accepts "+p.name, func(t *testing.T) {
				t.Parallel()
				if found := r.check(p.in(t, tree)); len(found.broken) > before {
					t.Errorf("it says %s", found.broken[len(found.broken)-1].tell())
				}
			})
		}
	}
}

const knownFile = "architecture/known.yaml"

// exception is a violation that somebody answers for until it is mended.
type exception struct {
	At     string `yaml:"at"`   // the file, without a line, which would move
	What   string `yaml:"what"` // as the rule says it
	Owner  string `yaml:"owner"`
	Reason string `yaml:"reason"`
	Since  string `yaml:"since"` // as 2006-01-02
}

// exceptions are known violations by rule: a code base that breaks rules already can adopt them, and cannot get worse.
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
	if err := decoder.Decode(&known); err != nil && !errors.Is(err, io.EOF) { // a file of comments has no end but its own
		return nil, err
	}
	for name, entries := range known {
		if !slices.ContainsFunc(all, func(r rule) bool { return r.name == name }) {
			return nil, fmt.Errorf("there is no rule %s; there are %s", name, strings.Join(ruleNames(), ", "))
		}
		for _, e := range entries {
			if _, err := time.Parse(time.DateOnly, e.Since); err != nil || e.At == "" || e.What == "" || e.Owner == "" || e.Reason == "" {
				return nil, fmt.Errorf("an entry of rule %s (at %q) needs at, what, owner, reason and since (as 2026-01-31)", name, e.At)
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

// sift parts violations into those that nobody has listed, and returns the entries that match none. An entry forgives one violation:
// the same again in its file is a new one.
func (known exceptions) sift(name string, broken []violation) (fresh []violation, mended []exception) {
	mended = slices.Clone(known[name])
	for _, v := range broken {
		file, _, _ := strings.Cut(v.at, ":")
		i := slices.IndexFunc(mended, func(k exception) bool { return k.At == file && k.What == v.what })
		if i < 0 {
			fresh = append(fresh, v)
			continue
		}
		mended = slices.Delete(mended, i, i+1)
	}
	return fresh, mended
}
