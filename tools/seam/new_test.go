package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

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
