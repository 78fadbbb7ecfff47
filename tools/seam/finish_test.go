package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"example.com/shop/platform/process"
	"example.com/shop/tools/move"
)

// What seam up would look for in its next run is not dropped.
func TestFinishLeavesTheSystemOfUp(t *testing.T) {
	state := t.TempDir()
	t.Setenv("SEAM_STATE", state)
	ours := move.Move{Module: "parcels", Source: "postgres://postgres:it's@127.0.0.1:5432/app"}
	if err := keptByUp(ours); err != nil {
		t.Errorf("without a system of seam up: %v", err)
	}
	if err := os.WriteFile(filepath.Join(state, "operate.env"), []byte("export DATABASE_URL="+quoted(ours.Source)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keptByUp(ours); !errors.Is(err, process.ErrUsage) {
		t.Errorf("of seam up: %v", err)
	}
	if err := keptByUp(move.Move{Module: "parcels", Source: "postgres://127.0.0.1:5432/other"}); err != nil {
		t.Errorf("another: %v", err)
	}
}
