package plants

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// What make test leaves out, a suite of make long runs: every package with a test that asks for
// SEAM_LONG.
func TestEveryLongTestIsRun(t *testing.T) {
	t.Parallel()
	suites, err := os.ReadFile(filepath.Join(root, "lab", "long.sh"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	asks, asking := regexp.MustCompile(`Getenv\("SEAM_LONG"\)`), 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !asks.Match(text) {
			continue
		}
		asking++
		folder, _ := filepath.Rel(root, filepath.Dir(file))
		if !regexp.MustCompile(`(?m)^\s*SEAM_LONG=1 .* \./` + folder + `\s`).Match(suites) {
			t.Errorf("%s asks for SEAM_LONG, and lab/long.sh does not run ./%s with it", file, folder)
		}
	}
	if asking == 0 {
		t.Error("no test asks for SEAM_LONG")
	}
}
