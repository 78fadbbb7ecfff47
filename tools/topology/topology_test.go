package topology_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"example.com/shop/platform/process"
	"example.com/shop/tools/topology"
)

func TestASplitThatCannotBe(t *testing.T) {
	t.Parallel()
	for says, split := range map[string][]string{
		"no module \"billing\"": {"billing"},
		// Nothing would serve notifications.
		"payments cannot be split off twice": {"orders", "inventory", "payments", "payments"},
	} {
		// There is no binary to start, and no database.
		shop, err := topology.Start(t.Context(), topology.Options{
			Bin: t.TempDir(), Out: io.Discard, Split: split, DatabaseURL: "postgres://user@127.0.0.1:1/none",
		})
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want a usage error that says %s", split, err, says)
			if err == nil {
				_ = shop.Stop()
			}
		}
	}
}

func TestACanaryThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, o := range []topology.Options{{Canary: "billing"}, {Canary: "payments", Split: []string{"payments"}}} {
		o.Bin, o.Out, o.DatabaseURL = t.TempDir(), io.Discard, "postgres://user@127.0.0.1:1/none"
		if shop, err := topology.Start(t.Context(), o); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "no canary of") {
			t.Errorf("%s: %v, want a usage error", o.Canary, err)
			if err == nil {
				_ = shop.Stop()
			}
		}
	}
}
