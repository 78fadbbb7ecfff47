package architecture

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// check matches a link whose text is a test's name, to the file that should have the test.
var check = regexp.MustCompile("\\[`?((?:Test|Fuzz)\\w+)`?\\]\\(([^)#\\s]+)\\)")

// deadLinks returns the relative links in a document that have no target, and the tests that are
// not in the files that it names for them.
func deadLinks(dir, text string) (dead []string, seen int) {
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		seen++
		if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
			dead = append(dead, m[1])
		}
	}
	for _, m := range check.FindAllStringSubmatch(text, -1) {
		file, err := os.ReadFile(filepath.Join(dir, m[2]))
		if err == nil && !strings.Contains(string(file), "func "+m[1]+"(") {
			dead = append(dead, m[1])
		}
	}
	return dead, seen
}

// making matches a target of make, where a page has it as code.
var making = regexp.MustCompile("(?m)(?:`|^ *|&& )make ([a-z][a-z-]*)")

// deadTargets returns the targets that a document has a person make, and that no makefile has.
func deadTargets(makefiles, text string) (dead []string) {
	for _, m := range making.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(makefiles, "\n"+m[1]+":") {
			dead = append(dead, m[1])
		}
	}
	return dead
}

func TestLinksHaveTargets(t *testing.T) {
	t.Parallel()
	tree, seen := repository(t), 0
	for name, text := range tree {
		if path.Ext(name) != ".md" {
			continue
		}
		dead, links := deadLinks(filepath.Join(root, path.Dir(name)), text)
		seen += links
		for _, d := range dead {
			t.Errorf("%s names %s, which does not exist: fix the link or remove it", name, d)
		}
		for _, d := range deadTargets(tree["Makefile"]+tree["lab/lab.mk"], text) {
			t.Errorf("%s says make %s, which is no target of the Makefile", name, d)
		}
	}
	if seen < 20 {
		t.Errorf("only %d links were found: the search is broken", seen)
	}
}

// Each line of the checklist in PRODUCTION.md links to the check that holds it.
func TestTheChecklistIsChecked(t *testing.T) {
	t.Parallel()
	_, list, _ := strings.Cut(repository(t)["deploy/PRODUCTION.md"], "\n## What holds")
	list, _, _ = strings.Cut(list, "\n## ")
	items := strings.Split(list, "\n- ")[1:]
	if len(items) < 20 {
		t.Errorf("only %d lines were found: the search is broken", len(items))
	}
	for _, item := range items {
		item, _, _ = strings.Cut(item, "\n\n")
		if !check.MatchString(item) {
			t.Errorf("no check holds %q: link to one, or move it to what is left to who runs this", item)
		}
	}
}

func TestDeadLinksAreFound(t *testing.T) {
	t.Parallel()
	dead, seen := deadLinks(".",
		"[here](links_test.go) [removed](removed.go) [web](https://web.example/x) [part](links_test.go#L1) "+
			"[TestDeadLinksAreFound](links_test.go) [`TestDeadLinks`](links_test.go) [TestGone](gone_test.go)")
	if seen != 6 || strings.Join(dead, " ") != "removed.go gone_test.go TestDeadLinks" {
		t.Errorf("dead %v of %d", dead, seen)
	}
	if dead := deadTargets("\nall: x\n", "`make all`, make do\n\n    make more\n`make gone` and cd x && make less"); !slices.Equal(dead, []string{"more", "gone", "less"}) {
		t.Errorf("dead targets %q", dead)
	}
}
