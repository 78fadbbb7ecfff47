package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// A shop that was stopped while the broker had an undelivered event starts as one process, on the
// memory bus, as if the sides of the last run were alive. The first start is interrupted during the
// replay, which the next one repeats. A later switch to the broker replays nothing.
func TestAnotherMixLosesNothing(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Options{}) // runs on without the shop
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	mix := topology.Options{
		Bin: bin, State: t.TempDir(), Out: t.Output(), Env: []string{"LOG_LEVEL=warn"},
		DatabaseURL: strings.Replace(server.URL(), "/postgres?", "/shop?", 1),
	}
	begin := func(split ...string) (stop func()) {
		t.Helper()
		mix.Split = split
		s, err := topology.Start(t.Context(), mix)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Stop() })
		return func() {
			t.Helper()
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := begin("payments") // on the broker
	admin, err := pgxpool.New(t.Context(), mix.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	event := uuid.NewString()
	_, err = admin.Exec(t.Context(), `INSERT INTO orders.outbox (id, topic, key, payload, headers, created_at)
		VALUES ($1, 'orders.cancelled.v1', 'x', jsonb_build_object('order_id', gen_random_uuid()), '{}', now() - interval '5 days')`, event)
	if err != nil {
		t.Fatal(err)
	}
	stop()

	if _, err := admin.Exec(t.Context(), "UPDATE payments.sides SET weight = 100, beat_at = now()"); err != nil { // it was killed
		t.Fatal(err)
	}
	mix.Split = nil
	hold, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The replay cannot write to the outbox.
	if _, err := hold.Exec(t.Context(), "LOCK TABLE orders.outbox IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	if s, err := topology.Start(t.Context(), mix); err == nil || !strings.Contains(err.Error(), "choose the bus of orders") {
		t.Errorf("it was not interrupted: %v", err)
		if err == nil {
			_ = s.Stop()
		}
	}
	if err := hold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop = begin() // in memory
	pgtest.Until(t, "all subscribers have handled the event", func() bool {
		return pgtest.Count(t, admin, `SELECT (SELECT count(*) FROM inventory.inbox WHERE event_id = $1) +
			(SELECT count(*) FROM payments.inbox WHERE event_id = $1) + (SELECT count(*) FROM notifications.inbox WHERE event_id = $1)`, event) == 3
	})
	stop()

	begin("payments")
	if n := pgtest.Count(t, admin, "SELECT max(replays) FROM orders.outbox"); n != 1 {
		t.Errorf("the event was replayed %d times, want once", n)
	}
}

// Wait returns an error that names what died: the broker, PostgreSQL or a process of the shop.
func TestWaitNamesWhatDied(t *testing.T) {
	logs, err := os.Create(filepath.Join(t.TempDir(), "logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	s := startWith(t, topology.Options{Out: logs, Split: []string{"payments"}})
	for name, dies := range map[string]struct {
		kill    func() error
		restart func(context.Context) error
	}{
		"broker":   {s.Broker.Kill, s.Broker.Restart},
		"postgres": {s.Server.Kill, s.Server.Restart},
		"payments": {
			func() error { return s.Processes()[0].Signal(os.Kill) },
			func(ctx context.Context) error { return s.Restart(ctx, s.Processes()[0]) },
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		time.AfterFunc(100*time.Millisecond, func() {
			if err := dies.kill(); err != nil {
				t.Errorf("kill %s: %v", name, err)
			}
		})
		if err := s.Wait(ctx); err == nil || !strings.Contains(err.Error(), name+" was ended by signal 9") {
			t.Errorf("%s was killed, and it said %v", name, err)
		}
		cancel()
		if err := dies.restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(logs.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nbroker | ") {
		t.Errorf("nothing of the broker's log is among\n%s", text)
	}
}
