package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"example.com/shop/platform/devkit/output"
	"example.com/shop/tools/template"
)

// What fails leaves nothing behind, nor the folders above that it has made.
func TestNew_FailsWithoutATrace(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	files := template.Files{"README.md": {Text: "It builds nothing."}}
	if err := makeProduct(t.Context(), filepath.Join(above, "of/the/loans"), template.Product{Name: "loans"}, files, ""); err == nil {
		t.Error("it is made")
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	elsewhere := filepath.Join(above, "unmounted")
	if err := os.Symlink("/nowhere/work", elsewhere); err != nil {
		t.Fatal(err)
	}
	_ = makeProduct(t.Context(), filepath.Join(elsewhere, "loans"), template.Product{Name: "loans"}, files, "")
	if _, err := os.Lstat(elsewhere); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
}

// A step of a command that takes more than two seconds is printed while it lasts.
func TestWatched(t *testing.T) {
	t.Parallel()
	var out output.Text
	script := "echo quick; echo slow; sleep 3; echo the last; exit 7"
	err := watched(&out, exec.CommandContext(t.Context(), "sh", "-c", script))
	if want := "exit status 7\nquick\nslow\nthe last\n"; err == nil || err.Error() != want {
		t.Errorf("it failed with %v, want %q", err, want)
	}
	if got := out.String(); got != "  slow\n" {
		t.Errorf("it printed %q", got)
	}
}

// What a killed seam new has left goes; what another is making stays, and all that is a person's.
func TestRemoveUnfinished(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	left, used := filepath.Join(above, unfinished+"1"), filepath.Join(above, unfinished+"2")
	for _, folder := range []string{left, used, filepath.Join(above, unfinished+"notes"), filepath.Join(above, "loans")} {
		if err := os.MkdirAll(filepath.Join(folder, "inner"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(used, filepath.Join(above, unfinished+"3")); err != nil {
		t.Fatal(err)
	}
	held, err := hold(used)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		if err := removeUnfinished(above); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(above)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if !slices.Equal(names, want) {
			t.Errorf("there are %q, want %q", names, want)
		}
	}
	check(unfinished+"2", unfinished+"3", unfinished+"notes", "loans")
	if err := held.Close(); err != nil { // as when its process is killed
		t.Fatal(err)
	}
	check(unfinished+"3", unfinished+"notes", "loans")
}
