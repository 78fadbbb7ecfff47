package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/tools/topology"
)

// The bus does not go back to memory while a module is known that the monolith does not link: to a
// schema, as after its code was deleted, or to the broker alone, as when its data is elsewhere. If
// it went there before, the lag says so.
func TestNoModuleIsLeftOnTheBroker(t *testing.T) {
	t.Parallel()
	one, _ := twoModules(t)
	o := newOperator(t, topology.Modules...)
	o.expect(t, "bus memory", one+" memory")
	o.expect(t, "lag", "BUS", one+" 0 - 0 0 0 0 0 memory")

	o.exec(t, one, "UPDATE bus SET modules = '{"+one+",tolls}'")
	if printed, said, code := o.run(t, "lag"); code != 1 || !strings.Contains(said, "do not reach tolls, which") || !strings.Contains(printed, one) {
		t.Errorf("lag: exit code %d, said %q, printed %q", code, said, printed)
	}
	o.expect(t, "bus nats", one+" nats")
	o.expect(t, "lag", one+" 0 - 0 0 0 0 0 nats")
	refused := func(says string) {
		t.Helper()
		if printed, said, code := o.run(t, "bus memory"); code != 2 || !strings.Contains(said, says) || printed != "" || strings.Count(said, "\n") != 1 {
			t.Errorf("exit code %d, said %q, printed %q; want 2 and %q", code, said, printed, says)
		}
		o.expect(t, "bus", one+" nats")
	}
	refused("nothing is changed: events in memory do not reach tolls, which the monolith does not link")

	b, err := broker.Start(t.Context(), broker.Options{Command: []string{filepath.Join(bin, "seam"), "broker"}, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	o.env = append(o.env, "NATS_URL="+b.URL())
	refused("do not reach tolls, which") // there is no stream
	bus, err := natsbus.Open(natsbusConfig(t, b.URL()), natsbus.Provisioner, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := bus.Provision(t.Context(), process.Defaults[natsbus.Keeping](), map[string][]string{"tolls": {"parcels.sent.v1"}, one: {"parcels.sent.v1"}}); err != nil {
		t.Fatal(err)
	}
	refused("do not reach tolls (the broker has its durable tolls-parcels-sent-v1), which")
	o.exec(t, one, "UPDATE bus SET modules = '{}'")
	refused("do not reach tolls (the broker has its durable tolls-parcels-sent-v1), which")

	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	o.expect(t, "bus memory", one+" memory (was nats)")
	// A seam that has no monolith beside it leaves it to the processes.
	alone := filepath.Join(t.TempDir(), "seam")
	if err := os.Link(filepath.Join(bin, "seam"), alone); err != nil {
		t.Fatal(err)
	}
	o.exec(t, one, "UPDATE bus SET modules = '{tolls}'")
	command := exec.CommandContext(t.Context(), alone, "events", "bus", "memory")
	command.Env = append(os.Environ(), o.env...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func natsbusConfig(t *testing.T, url string) natsbus.Config {
	t.Helper()
	cfg := process.Defaults[natsbus.Config]()
	cfg.URL = url
	return cfg
}

// Modules on different buses get no events of each other.
func TestLagOnTwoBuses(t *testing.T) {
	t.Parallel()
	one, _ := twoModules(t)
	o := newOperator(t, topology.Modules...)
	o.expect(t, "bus nats")
	o.expect(t, "bus memory --module "+one)
	if printed, said, code := o.run(t, "lag"); code != 1 || !strings.Contains(said, "on different buses (") || !strings.Contains(printed, "memory") {
		t.Errorf("exit code %d, said %q, printed %q", code, said, printed)
	}
}

// extracted returns the environment of a monolith that no longer links a module of the system.
func extracted(t *testing.T) []string {
	t.Helper()
	o := newOperator(t, topology.Modules...)
	if _, err := o.db.Admin(t).Exec(t.Context(), "CREATE SCHEMA tolls; CREATE TABLE tolls.platform_version ()"); err != nil {
		t.Fatal(err)
	}
	return append(append(authorized(t), o.env...), "MODULES=all", "BUS=memory")
}

func authorized(t *testing.T) []string {
	t.Helper()
	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"SERVICE_TOKEN=x", "AUTH_PUBLIC_KEY=" + key.PublicPEM()}
}
