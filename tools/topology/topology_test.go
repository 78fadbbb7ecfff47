package topology_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"example.com/shop/platform/process"
	"example.com/shop/tools/topology"
)

func TestASplitThatCannotBe(t *testing.T) {
	t.Parallel()
	modules := topology.Modules
	if len(modules) == 0 {
		t.Skip("there are no modules")
	}
	for says, split := range map[string][]string{
		"no module \"no-such\"":                   {"no-such"},
		modules[0] + " cannot be split off twice": append(slices.Clone(modules), modules[0]),
	} {
		// There is no binary to start, and no database.
		system, err := topology.Start(t.Context(), topology.Options{
			Bin: t.TempDir(), Out: io.Discard, Split: split, DatabaseURL: "postgres://user@127.0.0.1:1/none",
		})
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want a usage error that says %s", split, err, says)
			if err == nil {
				_ = system.Stop()
			}
		}
	}
}

func TestACanaryThatCannotBe(t *testing.T) {
	t.Parallel()
	if len(topology.Modules) == 0 {
		t.Skip("there are no modules")
	}
	for _, o := range []topology.Options{{Canary: "no-such"}, {Canary: topology.Modules[0], Split: topology.Modules[:1]}} {
		o.Bin, o.Out, o.DatabaseURL = t.TempDir(), io.Discard, "postgres://user@127.0.0.1:1/none"
		if system, err := topology.Start(t.Context(), o); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "no canary of") {
			t.Errorf("%s: %v, want a usage error", o.Canary, err)
			if err == nil {
				_ = system.Stop()
			}
		}
	}
}
