package topology

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The settings are those that the program writes, whatever they are called.
func TestTheOutsideSaysWhatLeadsToIt(t *testing.T) {
	t.Parallel()
	begin := func(script string) (*System, error) {
		s := &System{options: Options{Bin: t.TempDir(), State: t.TempDir(), Out: io.Discard, Env: []string{"LAMPS_SIM_COLOUR=red"}}}
		if script != "" {
			script = "#!/bin/sh\n" + script
			if err := os.WriteFile(filepath.Join(s.options.Bin, "sandbox"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		err := s.startOutside(t.Context())
		t.Cleanup(func() { _ = s.Stop() })
		return s, err
	}
	s, err := begin(`test "$1 $2 $3" = "serve --free-ports --write" || exit 7
		printf 'LAMPS_URL=%s %s\nLAMPS_PAGE=x\n' "$LAMPS_SIM_COLOUR" "$SEAM_STATE" >"$4.new" && mv "$4.new" "$4" && exec sleep 60`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"LAMPS_URL=red " + s.options.State, "LAMPS_PAGE=x"}; !slices.Equal(s.Outside.Settings, want) {
		t.Errorf("%q, want %q", s.Outside.Settings, want)
	}
	if got := s.Outside.Setting("LAMPS_PAGE") + s.Outside.Setting("LAMPS"); got != "x" {
		t.Errorf("one setting, and none, are %q", got)
	}
	if s, err := begin(""); err != nil || s.Outside.Process != nil || s.Outside.Settings != nil {
		t.Errorf("without the program: %+v, %v", s.Outside, err)
	}
	if _, err := begin("exit 3"); err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("a program that fails: %v", err)
	}
}
