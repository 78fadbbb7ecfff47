// Package plants proves the rules of architecture: each refuses its violations, which are planted
// in a copy of the repository or in what its modules say, and accepts what only looks like one.
package plants

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/shop/architecture"
)

const root = "../.."

// set is the plants of a rule: violations and near misses.
type set struct{ refuses, accepts []plant }

// plants are those of each rule, by its name.
var plants = map[string]set{
	"contextmap": {mapViolations, mapNearMisses},
	"contracts":  {broken, kept},
	"sql":        {sqlRefuses, sqlAccepts},
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
func (p plant) in(t *testing.T, tree architecture.Tree) architecture.Tree {
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

var readOnce = sync.OnceValues(func() (architecture.Tree, error) {
	tree, err := architecture.Read(root)
	if err != nil {
		return nil, err
	}
	return tree.Ask(context.Background(), root)
})

func repository(t *testing.T) architecture.Tree {
	t.Helper()
	tree, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// planted is a tree that differs from the repository, and the rule to check it by; all, if empty.
type planted struct {
	Rule  string
	Files map[string]*string
}

// differing returns what makes of the repository the tree.
func differing(t *testing.T, rule string, tree architecture.Tree) planted {
	t.Helper()
	p := planted{rule, map[string]*string{}}
	before := repository(t)
	for name, text := range tree {
		if old, there := before[name]; !there || old != text {
			p.Files[name] = &text
		}
	}
	for name := range before {
		if _, there := tree[name]; !there {
			p.Files[name] = nil
		}
	}
	return p
}

// found returns, for each tree, the messages of the rules by their names.
func found(t *testing.T, trees []planted) (messages []map[string][]string) {
	t.Helper()
	folder := t.TempDir()
	text, err := json.Marshal(trees)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "planted.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-short", "-run", "^TestPlanted$", "./architecture")
	check.Dir, check.Env = root, append(os.Environ(), "ARCHITECTURE_PLANTED="+folder)
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text, err = os.ReadFile(filepath.Join(folder, "found.json")); err == nil { //nolint:gosec // our own
		err = json.Unmarshal(text, &messages)
	}
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func TestRulesRefusePlants(t *testing.T) {
	t.Parallel()
	trees, rules := []planted{{}}, slices.Sorted(maps.Keys(plants))
	for _, rule := range rules {
		for _, p := range slices.Concat(plants[rule].refuses, plants[rule].accepts) {
			trees = append(trees, differing(t, rule, p.in(t, repository(t))))
		}
	}
	messages := found(t, trees)
	before, messages := messages[0], messages[1:]
	for rule := range before {
		if len(plants[rule].refuses) == 0 || len(plants[rule].accepts) == 0 {
			t.Errorf("rule %s has no planted violation, or no near miss", rule)
		}
	}
	for _, rule := range rules {
		of := plants[rule]
		for i, p := range slices.Concat(of.refuses, of.accepts) {
			got := messages[0][rule]
			messages = messages[1:]
			switch refused := len(got) > len(before[rule]); {
			case i >= len(of.refuses) && refused:
				t.Errorf("%s: %s is refused: %s", rule, p.name, got[len(got)-1])
			case i < len(of.refuses) && (!refused || !strings.Contains(strings.Join(got, "\n"), p.want)):
				t.Errorf("%s: %s: got %q, want a message with %q", rule, p.name, got, p.want)
			}
		}
	}
}
