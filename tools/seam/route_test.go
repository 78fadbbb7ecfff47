package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/process"
)

func TestRouteVerbs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.yaml")
	t.Setenv("GATEWAY_ROUTES", path)
	const file = `
upstreams: { monolith: { url: "http://127.0.0.1:8090" }, parcels: { url: "http://127.0.0.1:8092" } }
routes:
  parcels:
    prefix: /v1/parcels
    sides: [{ upstream: monolith, weight: 100, home: shop }, { upstream: parcels, weight: 0, home: shop }]
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		f, err := routes.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		printRoutes(&out, newShownFile(f))
		return strings.Join(strings.Fields(out.String()), " ")
	}
	for _, step := range []struct{ args, want string }{
		{"show", "parcels /v1/parcels monolith 100% parcels 0% writes to shop"},
		{"set parcels monolith=90 parcels=10 --json", "parcels /v1/parcels monolith 90% parcels 10% writes to shop"},
		{"check --json", "parcels /v1/parcels monolith 90% parcels 10% writes to shop"},
		{"--json rollback", "parcels /v1/parcels monolith 100% parcels 0% writes to shop"},
		{"set parcels monolith=0", "parcels /v1/parcels monolith 0% parcels 0% paused"},
	} {
		if err := route(t.Context(), strings.Fields(step.args)); err != nil {
			t.Errorf("%s: %v", step.args, err)
		}
		if got := shown(); got != step.want {
			t.Errorf("after %s it is %q, want %q", step.args, got, step.want)
		}
	}
	for _, args := range []string{"", "shwo", "show parcels", "set", "set parcels", "set parcels parcels", "set parcels parcels=ten", "set parcels parcels=10", "set lamps monolith=100", "show --jsno"} {
		if err := route(t.Context(), strings.Fields(args)); !errors.Is(err, process.ErrUsage) {
			t.Errorf("%q: %v, want a usage error", args, err)
		}
	}
	if got := shown(); !strings.HasSuffix(got, "paused") {
		t.Errorf("mistakes have changed it: %q", got)
	}
	for _, verb := range []string{"show", "set", "rollback", "check"} {
		if err := route(t.Context(), []string{verb, "--help"}); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s --help: %v", verb, err)
		}
	}
	if err := os.WriteFile(path, []byte("routes: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := route(t.Context(), []string{"check"}); !errors.Is(err, process.ErrUsage) {
		t.Errorf("check of a broken file: %v", err)
	}
}
