// Package eventtest has a publisher and a subscriber of events, each with a schema of its own, for
// tests of delivery over any bus.
package eventtest

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Topic is the topic of Happened.
const Topic = "publisher.happened.v1"

// Happened is the event that the module publisher publishes and the module subscriber counts.
type Happened struct {
	Thing string `json:"thing"`
}

// Topic returns Topic.
func (Happened) Topic() string { return Topic }

// Aggregate returns the thing.
func (h Happened) Aggregate() (id string, version int64) { return h.Thing, 1 }

// Schema is the subscriber's, with the table that Count writes.
var Schema = fstest.MapFS{"0001_effects.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE effects (thing text PRIMARY KEY, times integer NOT NULL);
`)}}

// Count is a handler that counts how often each event was applied.
func Count(ctx context.Context, tx pgx.Tx, h Happened) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (thing, times) VALUES ($1, 1)
		ON CONFLICT (thing) DO UPDATE SET times = effects.times + 1`, h.Thing)
	return err
}

// System is a publisher and a subscriber.
type System struct {
	Database              *pgtest.DB
	Publisher, Subscriber *postgres.DB
	Config                events.Config
	Log                   *slog.Logger

	t testing.TB
}

// New returns a system whose publisher has the schema publisher.
func New(t testing.TB, publisher fs.FS) *System {
	t.Helper()
	s := &System{t: t, Log: slog.New(slog.DiscardHandler), Config: events.Config{
		RelayBatch: 50, ConsumerBatch: 50, Poll: 20 * time.Millisecond, MaxAttempts: 3,
		RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
		OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: 3 * time.Hour,
	}}
	s.Database = pgtest.New(t, pgtest.Schema{Module: "publisher", Migrations: publisher},
		pgtest.Schema{Module: "subscriber", Migrations: Schema})
	s.Publisher, s.Subscriber = s.Database.Module(t, "publisher"), s.Database.Module(t, "subscriber")
	return s
}

// Commit publishes an event for each thing in one transaction.
func (s *System) Commit(ctx context.Context, outbox *events.Outbox, things ...string) {
	s.t.Helper()
	all := make([]events.Event, len(things))
	for i, thing := range things {
		all[i] = Happened{thing}
	}
	s.CommitAll(ctx, outbox, all...)
}

// CommitAll publishes the events in one transaction.
func (s *System) CommitAll(ctx context.Context, outbox *events.Outbox, all ...events.Event) {
	s.t.Helper()
	err := s.Publisher.InTx(ctx, func(tx pgx.Tx) error {
		for _, ev := range all {
			if err := outbox.PublishTx(ctx, tx, ev); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// Things returns the numbers from first to last.
func Things(first, last int) (things []string) {
	for i := first; i <= last; i++ {
		things = append(things, fmt.Sprint(i))
	}
	return things
}

// Consume runs a consumer until the test ends, or until stop is called.
func (s *System) Consume(c *events.Consumer) (stop func()) {
	s.t.Helper()
	if err := c.Subscribe(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return pgtest.Run(s.t, c.Run)
}

// Applied waits until n events were applied, and checks that none was applied twice.
func (s *System) Applied(n int) {
	s.t.Helper()
	s.Eventually(s.Subscriber, n, "SELECT count(*) FROM effects WHERE times = 1")
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM effects WHERE times > 1")
}

// Drained waits until no event of the publisher is pending.
func (s *System) Drained() {
	s.t.Helper()
	s.Eventually(s.Publisher, 0, "SELECT count(*) FROM outbox_pending")
}

// Eventually waits until the query selects want.
func (s *System) Eventually(db *postgres.DB, want int, query string) {
	s.t.Helper()
	got := 0
	defer func() {
		if got != want {
			s.t.Logf("got %d", got)
		}
	}()
	pgtest.Until(s.t, fmt.Sprintf("it is %d: %s", want, query), func() bool {
		got = pgtest.Count(s.t, db, query)
		return got == want
	})
}

// Expect checks that the query selects want.
func (s *System) Expect(db *postgres.DB, want int, query string) {
	s.t.Helper()
	if got := pgtest.Count(s.t, db, query); got != want {
		s.t.Errorf("%s: got %d, want %d", query, got, want)
	}
}

// Through opens the database through a wire to its server.
func Through(t testing.TB, db *postgres.DB, connectTimeout time.Duration) (*postgres.DB, *wire.Wire) {
	t.Helper()
	server := db.Pool().Config().ConnConfig
	w := wire.To(t, net.JoinHostPort(server.Host, fmt.Sprint(server.Port)))
	return pgtest.Again(t, db, func(cfg *pgxpool.Config) {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
		cfg.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.Address())
		}
	}), w
}
