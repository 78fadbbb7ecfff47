package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	action = regexp.MustCompile(`(?m)^[\s-]*uses:.*$`)
	pinned = regexp.MustCompile(`uses: [\w./-]+@[0-9a-f]{40} # v[\d.]+$`)
)

// A tag of another repository can be moved to code that reads our secrets, and a commit cannot. The
// comment says for people which release it is.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()
	workflows, err := filepath.Glob(filepath.Join(root, ".github/workflows/*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range workflows {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range action.FindAllString(string(text), -1) {
			seen++
			if !pinned.MatchString(line) {
				t.Errorf("%s: %s: name a commit and its release, as in owner/name@0123…ef # v1.2.3", path, strings.TrimSpace(line))
			}
		}
	}
	if seen == 0 {
		t.Error("no workflow uses anything: the search is broken")
	}
}
