package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"example.com/shop/topology"
)

// edit is a change of a source file that only the compiler sees (go build -overlay): nothing for tests is in the shop's own code, and the
// binaries of every other test are those that are shipped.
type edit struct{ file, old, new string }

// editedBin is the folder of the edited binaries, which are built once.
func editedBin(t *testing.T) string {
	t.Helper()
	folder, err := buildEdited()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

var buildEdited = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(bin, "edited")
	overlay, err := writeOverlay(dir, edits)
	if err != nil {
		return "", err
	}
	built, err := topology.Build(context.Background(), "-tags=failpoints", "-overlay="+overlay)
	if err != nil {
		return "", err
	}
	edited := filepath.Join(dir, "bin") // so that they go with the others
	return edited, os.Rename(built, edited)
})

// writeOverlay writes the edited copies into dir, and returns the file that names them to the compiler.
func writeOverlay(dir string, edits []edit) (overlay string, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	texts := map[string]string{} // by file
	for _, e := range edits {
		if texts[e.file] == "" {
			text, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return "", err
			}
			texts[e.file] = string(text)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			return "", fmt.Errorf("%s has %d times, and not once: %s\nUpdate test/faults/edits_test.go", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	helper, err := os.ReadFile("testdata/failpoint/failpoint.go")
	if err != nil {
		return "", err
	}
	for file := range texts {
		name := packageOf(texts[file])
		texts[filepath.Join(filepath.Dir(file), "failpoint.go")] = strings.Replace(string(helper), "\npackage failpoint\n", "\npackage "+name+"\n", 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		replace[filepath.Join(root, file)] = filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := write(replace[filepath.Join(root, file)], text); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, write(overlay, string(list))
}

func write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// packageOf reads the name from the package clause.
func packageOf(text string) string {
	_, rest, _ := strings.Cut("\n"+text, "\npackage ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

// The edits are compiled by make long SUITE=faults alone. That the code has moved away from under one is told by make test already.
func TestTheEditsFit(t *testing.T) {
	if _, err := writeOverlay(t.TempDir(), edits); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"nobody writes this", "return"} { // not there, and there too often
		if _, err := writeOverlay(t.TempDir(), []edit{{"modules/orders/place.go", text, ""}}); err == nil {
			t.Errorf("an edit of %q is taken", text)
		}
	}
}
