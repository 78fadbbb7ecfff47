package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/tools/routing"
)

// routesOf returns a routes file for a module, on its way out of the monolith.
func routesOf(module, probe string) string {
	return strings.NewReplacer("MODULE", module, "PROBE", probe).Replace(`
upstreams: { monolith: { url: "http://127.0.0.1:1", probe: "http://127.0.0.1:1/readyz" }, MODULE: { url: "http://127.0.0.1:2", probe: "PROBE" } }
routes:
  MODULE:
    prefix: /v1/MODULE
    sides: [{ upstream: monolith, weight: 100 }, { upstream: MODULE, weight: 0 }]
`)
}

// freeAddress returns an address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// A running façade, the schema and the file have the same weights after each verb, and show says
// what is handled by whom, what differs and what cannot be asked.
func TestRouteChangesARunningSystem(t *testing.T) {
	t.Parallel()
	one := aModule()
	o := newOperator(t, one)
	if err := events.RecordBus(t.Context(), o.db.Module(t, one), natsbus.Name, nil); err != nil {
		t.Fatal(err)
	}
	answers := http.StatusOK
	probe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answers) }))
	t.Cleanup(probe.Close)
	file, ops := filepath.Join(t.TempDir(), "routes.yaml"), freeAddress(t)
	if err := os.WriteFile(file, []byte(routesOf(one, probe.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	o.env = append(o.env, "GATEWAY_ROUTES="+file, "GATEWAY_OPS_URL=http://"+ops, "GATEWAY_SECRET=s3cret")
	expect := func(args, want string) {
		t.Helper()
		printed, said, code := o.call(t, "route "+args)
		if got := strings.Join(strings.Fields(printed), " "); code != 0 || got != file+": "+want {
			t.Errorf("%s: exit code %d, said %q, printed %q; want %q", args, code, said, got, want)
		}
	}
	line := func(monolith, module int) string {
		return fmt.Sprintf("%[1]s /v1/%[1]s monolith %[2]d%% %[1]s %[3]d%%", one, monolith, module)
	}
	gateway, err := child.Start(child.Options{
		Name: "gateway", Path: filepath.Join(bin, "gateway"), Args: []string{"serve"}, Out: t.Output(),
		Env: append(slices.Concat(os.Environ(), o.env), "OPS_ADDR="+ops, "GATEWAY_ADDR=127.0.0.1:0", "DRAIN_AFTER=0s"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Stop(time.Minute) })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := routing.Applied(t.Context(), "http://"+ops); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	handled := " monolith alive 3 requests, 0 events, 2 jobs " + one + " silent 0 requests, 7 events, 0 jobs"
	none := " monolith silent 0 requests, 0 events, 0 jobs " + one + " silent 0 requests, 0 events, 0 jobs"
	schema := fmt.Sprintf("the schema of %s has", one)
	const apply = ": seam route apply gives it the file's"
	unknown := fmt.Sprintf(" whether monolith serves the route %s is not known: it has no probe, or no answer came", one)

	expect("show", line(100, 0)+" differs: "+schema+" no weights"+apply+none)
	expect("set "+one+" monolith=90 "+one+"=10", line(90, 10)+unknown)
	o.exec(t, one, "UPDATE sides SET requests = 3, jobs = 2, beat_at = now() + interval '1 hour' WHERE side = 'monolith'")
	o.exec(t, one, "UPDATE sides SET events = 7 WHERE side = $1", one)
	expect("show", line(90, 10)+handled)
	expect("apply", line(90, 10)+unknown)
	expect("rollback", line(100, 0)+unknown)
	expect("check", line(100, 0)+unknown)

	text := strings.NewReplacer("weight: 100", "weight: 60", "weight: 0", "weight: 40").Replace(routesOf(one, probe.URL))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	printed, _, _ := o.call(t, "route show --json")
	for _, want := range []string{
		fmt.Sprintf("the façade http://%s has monolith=100 %s=0%s", ops, one, apply), fmt.Sprintf("%s %s=0 monolith=100%s", schema, one, apply),
	} {
		if !strings.Contains(printed, want) && !strings.Contains(printed, strings.Replace(want, one+"=0 monolith=100", "monolith=100 "+one+"=0", 1)) {
			t.Errorf("show says %s, want %q", printed, want)
		}
	}
	answers = http.StatusNotImplemented
	for _, verb := range []string{"check", "apply"} {
		if _, said, code := o.call(t, "route "+verb); code != 2 || !strings.Contains(said, "leads to nobody") {
			t.Errorf("%s of a route to nobody: exit code %d, said %q", verb, code, said)
		}
	}
	answers = http.StatusOK
	expect("apply", line(60, 40)+unknown)
	// No façade starts with a route to nobody.
	answers = http.StatusNotImplemented
	text = strings.NewReplacer("weight: 60", "weight: 0", "weight: 40", "weight: 100").Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, code := run(t, append(o.env, "OPS_ADDR=127.0.0.1:0", "GATEWAY_ADDR=127.0.0.1:0"), "gateway", "serve"); code != 2 ||
		!strings.Contains(said, "leads to nobody") {
		t.Errorf("the façade: exit code %d, said %q", code, said)
	}
}

func TestRouteBadUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.yaml")
	one := aModule()
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(routesOf(one, "http://127.0.0.1:2/readyz"))
	for name, value := range map[string]string{
		"GATEWAY_ROUTES": path, "GATEWAY_SECRET": "s3cret", "GATEWAY_OPS_URL": "http://127.0.0.1:1", setting(one): "",
	} {
		t.Setenv(name, value)
	}
	for _, args := range []string{
		"", "shwo", "show MODULE", "set", "set MODULE", "set MODULE MODULE", "set MODULE MODULE=ten", "set MODULE MODULE=10",
		"set lamps monolith=100", "show --jsno", "set MODULE monolith=90 MODULE=10", "rollback",
	} {
		if err := route(t.Context(), strings.Fields(strings.ReplaceAll(args, "MODULE", one))); !errors.Is(err, process.ErrUsage) {
			t.Errorf("%q: %v, want a usage error", args, err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != routesOf(one, "http://127.0.0.1:2/readyz") {
		t.Errorf("mistakes have changed it (%v):\n%s", err, text)
	}
	if err := route(t.Context(), []string{"show"}); err != nil {
		t.Errorf("show without a façade and a schema: %v", err)
	}
	for _, verb := range []string{"show", "set", "rollback", "apply", "check"} {
		if err := route(t.Context(), []string{verb, "--help"}); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s --help: %v", verb, err)
		}
	}
	write("routes: [")
	if err := route(t.Context(), []string{"check"}); !errors.Is(err, process.ErrUsage) {
		t.Errorf("check of a broken file: %v", err)
	}
}
