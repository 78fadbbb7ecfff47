package architecture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Go compiles a linked file, which no rule would read.
func TestReadRefusesLinks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module " + Path + "\n", "vendor/a.go": "package a\n", "web/node_modules/b.go": "package b\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere.md", filepath.Join(folder, "NOTES.md")); err != nil {
		t.Fatal(err)
	}
	tree, err := Read(folder)
	if err != nil || len(tree) != 1 {
		t.Errorf("got %v and %v, want go.mod alone: no third-party code, and no link that Go does not compile",
			tree, err)
	}
	if err := os.Symlink("../elsewhere.go", filepath.Join(folder, "here.go")); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(folder); err == nil || !strings.Contains(err.Error(), "here.go is a symbolic link") {
		t.Errorf("a link to a Go file: %v", err)
	}
}

// After an extraction the monolith still serves the remaining modules.
func TestTopologiesAfterAnExtraction(t *testing.T) {
	t.Parallel()
	modules := []string{"a", "b", "c"}
	commands := []Process{
		{"a", []string{"a"}}, {"b", []string{"b"}}, {"c", []string{"c"}}, {facade, nil}, {"whole", []string{"a", "b"}},
	}
	names := func(left ...string) string {
		var found []string
		for _, topology := range topologies(modules, left, commands) {
			var runs []string
			for _, p := range topology.Processes {
				runs = append(runs, p.Name)
			}
			found = append(found, topology.Name+": "+strings.Join(runs, " "))
		}
		return strings.Join(found, "\n")
	}
	want := "make run SPLIT=c: gateway whole c\nmake run SPLIT=a,c: gateway whole a c\n" +
		"make run SPLIT=b,c: gateway whole b c\nmake run SPLIT=all: gateway a b c"
	if got := names("c"); got != want {
		t.Errorf("with c extracted:\n%s\nwant:\n%s", got, want)
	}
	commands[4].Modules = modules
	if got := names(); !strings.HasPrefix(got+"\n", "make run: whole\nmake run SPLIT=a: gateway whole a\n") {
		t.Errorf("with none extracted:\n%s", got)
	}
}
