package main

import (
	"errors"
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

func TestMoveSaysWhatIsMissing(t *testing.T) {
	t.Setenv("SEAM_STATE", t.TempDir())
	t.Setenv("DATABASE_URL", "")
	for want, words := range map[string]string{
		"seam move NAME --to":      "",
		"its --help lists":         "shove " + aModule(),
		"there is no module":       "plan nosuch --to postgres://db/other",
		"needs DATABASE_URL":       "status " + aModule(),
		"say seam move NAME --to ": "plan " + aModule() + " now",
	} {
		if err := runMove(t.Context(), strings.Fields(words)); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("seam move %s: %v; want %s", words, err, want)
		}
	}
}
