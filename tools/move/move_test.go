package move_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
	"example.com/shop/tools/move"
)

// stranger is a schema with what a module of somebody else's may have.
const stranger = `-- +goose Up
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE parcels (
    id      uuid PRIMARY KEY,
    mood    mood NOT NULL DEFAULT 'good',
    cents   bigint NOT NULL,
    euros   numeric GENERATED ALWAYS AS (cents / 100.0) STORED,
    changes integer NOT NULL DEFAULT 0
);
CREATE TABLE steps (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parcel uuid NOT NULL REFERENCES parcels (id),
    writer text NOT NULL,
    n      integer NOT NULL
);
CREATE TABLE days (at date NOT NULL, parcel uuid NOT NULL, PRIMARY KEY (at, parcel)) PARTITION BY RANGE (at);
CREATE TABLE days_2025 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE days_later PARTITION OF days DEFAULT;
-- +goose StatementBegin
CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.changes := OLD.changes + 1;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER counted BEFORE UPDATE ON parcels FOR EACH ROW EXECUTE FUNCTION count_change();
INSERT INTO parcels (id, cents) VALUES ('00000000-0000-7000-8000-000000000001', 1);
`

var migrations = fstest.MapFS{"0001_parcels.sql": {Data: []byte(stranger)}}

func migrate(ctx context.Context, url string) error { return postgres.Migrate(ctx, url, migrations) }

// servers are two PostgreSQL servers for all tests of this package: those of TEST_MOVE_SERVERS, two
// admin connections with a space between them, or else two that are started here. Named ones may be
// of two versions. Each must reach the other by these addresses, and keeps what the tests leave.
var servers = sync.OnceValues(func() (urls [2]string, err error) {
	if named := strings.Fields(os.Getenv("TEST_MOVE_SERVERS")); len(named) == len(urls) {
		return [2]string(named), nil
	} else if len(named) > 0 {
		return urls, fmt.Errorf("TEST_MOVE_SERVERS names %d servers, and must name two", len(named))
	}
	var group sync.WaitGroup
	var errs [2]error
	for i := range urls {
		group.Go(func() {
			server, err := pgserver.Start(context.Background(), pgserver.Options{Out: os.Stderr})
			if errs[i] = err; err == nil {
				urls[i] = server.URL()
			}
		})
	}
	group.Wait()
	return urls, errors.Join(errs[:]...)
})

var number atomic.Int64

// newMove returns a move of a module with a database of its own.
func newMove(t *testing.T, from, to int) move.Move {
	t.Helper()
	urls, err := servers()
	if err != nil {
		t.Fatal(err)
	}
	return newMoveBetween(t, urls[from], urls[to])
}

// newMoveBetween returns a move of a module with a database of its own between two servers.
func newMoveBetween(t *testing.T, from, to string) move.Move {
	t.Helper()
	n := number.Add(1)
	m := move.Move{
		Module: "parcels", Migrate: migrate,
		Source: postgres.WithDatabase(from, fmt.Sprintf("shop_%d", n)),
		Target: postgres.WithDatabase(to, fmt.Sprintf("parcels_%d", n)),
		Roles:  postgres.Plan{Prefix: fmt.Sprintf("t%d_", n), Secret: "secret"},
		Report: func(s move.Step) { t.Logf("  %-14s %8.2f ms  %s", s.Name, float64(s.Took.Microseconds())/1000, s.Note) },
	}
	roles := m.Roles
	roles.Modules = []string{"parcels"}
	ok(t, postgres.Provision(t.Context(), m.Source, roles))
	ok(t, migrate(t.Context(), roles.MigrateURL(m.Source, "parcels")))
	return m
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed is Seed once no other test has a long transaction on the servers, for which it would wait.
func seed(t *testing.T, m move.Move) {
	t.Helper()
	err := m.Seed(t.Context())
	for err != nil && strings.Contains(err.Error(), "sessions in a transaction for more than") && t.Context().Err() == nil {
		time.Sleep(time.Second)
		err = m.Seed(t.Context())
	}
	ok(t, err)
}

// long skips a test that make test has no time for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("make long SUITE=move runs it")
	}
}

// A parcel's data goes to another server and comes back, twice, while writers write all the time.
func TestOutAndBackUnderLoad(t *testing.T) {
	t.Parallel()
	m := newMove(t, 0, 1)
	load := write(t, m, 4)
	load.await(t, 100)
	seed(t, m)
	for range 2 {
		for _, m := range []move.Move{m, m.Back()} {
			load.await(t, 200)
			m.After = func(step string) error {
				if step == "open" && ask(t, m.Source, `SELECT count(*)::text FROM pg_locks
					WHERE relation = 'parcels.migrating'::regclass AND mode = 'ExclusiveLock' AND granted`) != "1" {
					t.Error("nothing keeps migrations out any more")
				}
				return nil
			}
			done, err := m.Switch(t.Context())
			ok(t, err)
			t.Logf("pause %v; %s", done.Pause, done.Record)
			if status, err := m.Status(t.Context()); err != nil || status.Record != done.Record || status.Record == "" {
				t.Errorf("the record is %q, %v", status.Record, err)
			}
		}
	}
	load.await(t, 200)
	load.check(t)
}

// On one server, where the roles are shared and a subscription may wait for itself.
func TestOutAndBackOnOneServer(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 0)
	load := write(t, m, 2)
	seed(t, m)
	_, err := m.Switch(t.Context())
	ok(t, err)
	load.await(t, 50)
	_, err = m.Back().Switch(t.Context())
	ok(t, err)
	load.check(t)
}

func contextWithin(t *testing.T, seconds int) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second)
}

// What a process does when it starts waits for the end of a pause.
func TestAProcessThatStartsInThePauseWaits(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	seed(t, m)
	db, err := postgres.Open(t.Context(), m.Module, m.Roles.RuntimeURL(m.Source, m.Module), 4, migrations)
	ok(t, err)
	t.Cleanup(db.Close)
	side, err := share.Join(t.Context(), db, m.Module, "shop")
	ok(t, err)
	starting := []func() error{
		func() error { return events.RecordBus(t.Context(), db, events.Memory, []string{m.Module}) },
		func() error { _, err := share.Join(t.Context(), db, m.Module, "shop"); return err },
		func() error { return side.Announce(t.Context()) },
	}
	started := make(chan error, len(starting))
	m.After = func(step string) error {
		if step != "drain" {
			return nil
		}
		for _, do := range starting {
			go func() { started <- do() }()
		}
		select {
		case err := <-started:
			return fmt.Errorf("it does not wait: %w", err)
		case <-time.After(200 * time.Millisecond):
			return nil
		}
	}
	_, err = m.Switch(t.Context())
	ok(t, err)
	for range starting {
		ok(t, <-started)
	}
}
