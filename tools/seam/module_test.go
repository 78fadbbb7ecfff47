package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/tools/template"
)

// A change that fails takes back what it has written, and nothing that a person has done meanwhile.
func TestAChangeThatFails(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	was := template.Files{
		"modules/ferries/ferries.go": {Text: "package ferries\n"}, "run.sh": {Text: "true\n", Runs: true}, "go.work.sum": {},
		"page.md": {Text: "The ferries.\n"},
	}
	if err := was.Write(root, nil); err != nil {
		t.Fatal(err)
	}
	theirs := map[string]string{"page.md": "The ferries sail.\n", "note.txt": "Ask them.\n"}
	for name, text := range theirs {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := template.Files{
		"modules/barges/ferries.go": {Text: "package barges\n"}, "run.sh": {Text: "false\n"}, "go.work.sum": {}, "page.md": was["page.md"],
	}
	err := change(t.Context(), root, was, files, nil, "")
	if err == nil || !strings.HasPrefix(err.Error(), "nothing is changed: ") {
		t.Fatalf("in a folder without programs: %v", err)
	}
	for name, file := range was {
		want, ofThem := theirs[name]
		if !ofThem {
			want = file.Text
		}
		if text, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(text) != want {
			t.Errorf("%s is %q, %v", name, text, err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "note.txt")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "modules/barges")); err == nil {
		t.Error("modules/barges is still there")
	}
	if info, err := os.Stat(filepath.Join(root, "run.sh")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("run.sh cannot be run: %v", err)
	}
}
