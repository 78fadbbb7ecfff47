package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// compared is how long each shop of make bench BASE=commit is measured.
var compared = size{clients: full.clients, underWay: full.underWay,
	warmFor: 3 * time.Second, fillFor: 3 * time.Second, sustainFor: 10 * time.Second, paceFor: 10 * time.Second}

// TestCompare is make bench BASE=commit: the monolith of that commit and the tree's, in pairs,
// because a machine drifts, and in each pair the other one first. Both are driven by the load of
// the tree.
func TestCompare(t *testing.T) {
	asked := os.Getenv("BENCH_BASE")
	of, pairs, base, commit := compared, 5, built, "itself"
	if asked == "" {
		long(t)
		t.Parallel()
		of, pairs = moment, 1
	} else {
		base, commit = buildCommit(t, asked)
	}
	b := newBench(t, of)
	measure := func(bin string) saga {
		at := *b
		at.bin = bin
		s := at.start(t, "compared")
		defer s.stop(t)
		return s.see(t)
	}
	var theirs, ours []saga
	for pair := range pairs {
		b.say("Pair %d of %d …", pair+1, pairs)
		if pair%2 == 0 {
			theirs = append(theirs, measure(base))
		}
		ours = append(ours, measure(built))
		if pair%2 == 1 {
			theirs = append(theirs, measure(base))
		}
	}
	fmt.Printf("\nMedians of %2d pairs %20s %10s %10s   here / %s\n", pairs, "", commit, "here", commit)
	for _, figure := range []struct {
		name string
		of   func(s saga) float64
	}{
		{"full load: ms of a core for an order", func(s saga) float64 { return s.most.cost().value }},
		{fmt.Sprintf("%d/s: ms of a core for an order", pace), func(s saga) float64 { return s.paced.cost().value }},
		{"full load: orders confirmed/s", func(s saga) float64 { return s.most.rate() }},
		{fmt.Sprintf("%d/s: ms from POST to confirmed", pace), func(s saga) float64 { return ms(s.paced.times).value }},
		{"full load: kB of WAL for an order", func(s saga) float64 { return s.most.order().kilobytes }},
	} {
		var base, here, ratios []float64
		for i := range ours {
			base, here = append(base, figure.of(theirs[i])), append(here, figure.of(ours[i]))
			ratios = append(ratios, here[i]/base[i])
		}
		fmt.Printf("%-40s %10s %10s   %s (of the pairs %s to %s)\n", figure.name, digits(median(base)), digits(median(here)),
			digits(median(ratios)), digits(slices.Min(ratios)), digits(slices.Max(ratios)))
	}
}

// median is the one in the middle, or of two the higher one.
func median(of []float64) float64 { return slices.Sorted(slices.Values(of))[len(of)/2] }

// buildCommit builds the commands of a commit in a worktree of its own.
func buildCommit(t *testing.T, asked string) (bin, commit string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "Building %s …\n", asked)
	dir := t.TempDir()
	tree, bin := filepath.Join(dir, "tree"), filepath.Join(dir, "bin")
	in := func(folder, name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit = in(".", "git", "rev-parse", "--short", "--verify", "--end-of-options", asked+"^{commit}")
	in(".", "git", "worktree", "add", "--detach", tree, commit)
	t.Cleanup(func() { in(".", "git", "worktree", "remove", "--force", tree) })
	in(tree, "go", "build", "-o", bin+string(filepath.Separator), "./cmd/...")
	if _, err := os.Stat(filepath.Join(tree, "tools")); err == nil { // seam was in cmd before
		in(tree, "go", "build", "-o", bin+string(filepath.Separator), "./tools/seam")
	}
	in(".", "go", "build", "-o", bin+string(filepath.Separator), "example.com/shop/test/sandbox") // the same for both
	return bin, commit
}
