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

func TestASystemThatCannotBe(t *testing.T) {
	t.Parallel()
	modules := topology.Modules
	if len(modules) == 0 {
		t.Skip("there are no modules")
	}
	for _, test := range []struct {
		options topology.Options
		says    string
	}{
		{topology.Options{Split: []string{"no-such"}}, "no module \"no-such\""},
		{topology.Options{Split: append(slices.Clone(modules), modules[0])}, modules[0] + " cannot be split off twice"},
		{topology.Options{Canary: "no-such"}, "no canary of"},
		{topology.Options{Canary: modules[0], Split: modules[:1]}, "no canary of"},
	} {
		o := test.options // with no binary to start, and no database
		o.Bin, o.Out, o.DatabaseURL = t.TempDir(), io.Discard, "postgres://user@127.0.0.1:1/none"
		system, err := topology.Start(t.Context(), o)
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q, %q: %v, want a usage error that says %s", o.Split, o.Canary, err, test.says)
			if err == nil {
				_ = system.Stop()
			}
		}
	}
}
