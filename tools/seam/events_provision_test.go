package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"example.com/shop/architecture"
	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/natsbus"
)

// It makes a durable for each topic that a module listens to, and may run again. Only the user seam
// may do so on a broker with users.
func TestProvision(t *testing.T) {
	t.Parallel()
	keys := t.TempDir()
	for range 2 {
		if said, code := run(t, nil, "seam", "broker", "users", "--write", keys); code != 0 || said != "" {
			t.Fatalf("exit code %d, said %q", code, said)
		}
	}
	b, err := broker.Start(t.Context(), broker.Options{
		Command: []string{filepath.Join(bin, "seam"), "broker"}, StoreDir: t.TempDir(), Users: filepath.Join(keys, broker.UsersFile),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	seed, err := broker.Seed(keys, natsbus.Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if said, code := run(t, []string{"NATS_URL=" + b.URL(), "SEAM_NATS_SEED=" + seed}, "seam", "events", "provision"); code != 0 || said != "" {
			t.Fatalf("exit code %d, said %q", code, said)
		}
	}
	bus, err := natsbus.Open(natsbusConfig(t, b.URL()), natsbus.Provisioner, seed, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	durables, err := bus.Durables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for module, topics := range architecture.Listens() {
		if len(durables[module]) != len(topics) {
			t.Errorf("%s has the durables %v, for %v", module, durables[module], topics)
		}
	}
}
