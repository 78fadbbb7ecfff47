package architecture

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// deadLinks returns the relative links in a document that have no target.
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
	return dead, seen
}

func TestLinksHaveTargets(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dead, links := deadLinks(filepath.Dir(path), string(text))
		seen += links
		for _, d := range dead {
			t.Errorf("%s links to %s, which does not exist: fix the link or remove it", path, d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Errorf("only %d links were found: the search is broken", seen)
	}
}

func TestDeadLinksAreFound(t *testing.T) {
	t.Parallel()
	dead, seen := deadLinks(".",
		"[here](links_test.go) [removed](removed.go) [web](https://web.example/x) [part](links_test.go#L1)")
	if seen != 3 || len(dead) != 1 || dead[0] != "removed.go" {
		t.Errorf("dead %v of %d", dead, seen)
	}
}
