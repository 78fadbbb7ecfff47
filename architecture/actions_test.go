package architecture

import (
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
	tree, seen := repository(t), 0
	for _, name := range tree.Match(".github/workflows/*") {
		for _, line := range action.FindAllString(tree[name], -1) {
			seen++
			if !pinned.MatchString(line) {
				t.Errorf("%s: %s: name a commit and its release, as in owner/name@0123…ef # v1.2.3", name, strings.TrimSpace(line))
			}
		}
	}
	if seen == 0 {
		t.Error("no workflow uses anything: the search is broken")
	}
}
