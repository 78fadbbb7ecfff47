package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/postgres"
)

// happened is the event that the publisher publishes and the subscriber counts.
type happened struct {
	Thing string `json:"thing"`
}

func (happened) Topic() string { return topic }

func (h happened) Aggregate() (id string, version int64) { return h.Thing, 1 }

var effects = fstest.MapFS{"0001_effects.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE effects (thing text PRIMARY KEY, times integer NOT NULL);
`)}}

// shop is a publisher and a subscriber with a database, a broker, and a connection each, like two
// processes.
type shop struct {
	broker                *broker.Broker
	bus                   natsbus.Config
	events                events.Config
	publisher, subscriber *postgres.DB
	outbox                *events.Outbox // the publisher's
}

func newShop(t *testing.T) *shop {
	t.Helper()
	db := pgtest.New(t, pgtest.Schema{Module: "publisher", Migrations: effects},
		pgtest.Schema{Module: "subscriber", Migrations: effects})
	b := startBroker(t)
	s := &shop{
		broker: b, bus: newConfig(t, b.URL()),
		publisher: db.Module(t, "publisher"), subscriber: db.Module(t, "subscriber"),
		events: events.Config{
			RelayBatch: 50, ConsumerBatch: 20, Poll: 20 * time.Millisecond, MaxAttempts: 3,
			RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
			OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: time.Hour,
		},
	}
	s.outbox = events.NewOutbox(s.publisher, open(t, s.bus), s.events, slog.New(slog.DiscardHandler))
	return s
}

// runOutbox runs the publisher's outbox until the test ends.
func (s *shop) runOutbox(t *testing.T) {
	t.Helper()
	start(t, s.outbox.Run)
}

// subscribe runs the subscriber's consumer until the test ends, or until stop is called.
func (s *shop) subscribe(t *testing.T, handle func(context.Context, pgx.Tx, happened) error) (stop func()) {
	t.Helper()
	subscriber := open(t, s.bus).Subscriber("subscriber")
	consumer := events.NewConsumer(s.subscriber, subscriber, []events.Handler{events.On(handle)},
		s.events, slog.New(slog.DiscardHandler))
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	return start(t, consumer.Run)
}

func start(t *testing.T, part func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// publish commits an event for each number from first to last.
func (s *shop) publish(t *testing.T, first, last int) {
	t.Helper()
	err := s.publisher.InTx(t.Context(), func(tx pgx.Tx) error {
		for i := first; i <= last; i++ {
			if err := s.outbox.PublishTx(t.Context(), tx, happened{fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// count is a handler that counts how often each event was applied.
func count(ctx context.Context, tx pgx.Tx, h happened) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (thing, times) VALUES ($1, 1)
		ON CONFLICT (thing) DO UPDATE SET times = effects.times + 1`, h.Thing)
	return err
}

// eventually polls until the query returns want.
func eventually(t *testing.T, pool *postgres.DB, want int64, query string) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for {
		var got int64
		if err := pool.QueryRow(t.Context(), query).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %d, want %d", query, got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const (
	waiting = "SELECT count(*) FROM outbox_pending"
	once    = "SELECT count(*) FROM effects WHERE times = 1"
	twice   = "SELECT count(*) FROM effects WHERE times > 1"
)

// The broker is killed repeatedly during publishing and consuming.
func TestTheBrokerIsKilled(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	const all, kills = 6000, 4
	placed := make(chan struct{})
	go func() {
		defer close(placed)
		for i := 1; i <= all; i += 10 {
			s.publish(t, i, i+9)
		}
	}()
	for kill := range kills {
		eventuallyAtLeast(t, s.subscriber, int64((kill+1)*all/(kills+2)), once)
		mustKill(t, s.broker)
		mustRestart(t, s.broker)
	}
	<-placed
	eventually(t, s.publisher, 0, waiting)
	eventually(t, s.subscriber, all, once)
	eventually(t, s.subscriber, 0, twice)
	eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
}

func TestTheBrokerLosesItsStore(t *testing.T) {
	t.Parallel()
	for name, older := range map[string]bool{"everything": false, "what came after a copy of its store": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			began := time.Now().Add(-time.Minute)
			s.runOutbox(t)
			stop := s.subscribe(t, count)
			s.publish(t, 1, 50)
			eventually(t, s.subscriber, 50, once)
			stop()

			var store string
			if err := s.broker.Stop(); err != nil {
				t.Fatal(err)
			}
			if older {
				store = t.TempDir()
				if err := os.CopyFS(store, os.DirFS(s.broker.StoreDir())); err != nil {
					t.Fatal(err)
				}
			}
			mustRestart(t, s.broker)
			s.publish(t, 51, 100) // these are only on the broker and in the outbox
			eventually(t, s.publisher, 0, waiting)
			mustKill(t, s.broker)
			exchangeStore(t, s.broker, store)
			mustRestart(t, s.broker)

			s.publish(t, 101, 150)
			s.subscribe(t, count)
			eventually(t, s.subscriber, 100, once) // the bus works again, without 50 events
			eventually(t, s.publisher, 0, waiting)
			if n, err := events.Replay(t.Context(), s.publisher.Pool, began, func(int64) {}); err != nil || n != 150 {
				t.Fatalf("replay: %d, %v", n, err)
			}
			eventually(t, s.subscriber, 150, once)
			eventually(t, s.publisher, 0, waiting)
			marker := 151
			s.publish(t, marker, marker)
			eventually(t, s.subscriber, 151, once)
			eventually(t, s.subscriber, 0, twice)
		})
	}
}

func TestPoisonEndsAsADeadLetterAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "2" {
			return errors.New("it is broken")
		}
		return count(ctx, tx, h)
	})
	s.runOutbox(t)
	s.publish(t, 1, 3)
	eventually(t, s.subscriber, 2, once)
	eventually(t, s.subscriber, 1,
		"SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%is broken%'")
	s.publish(t, 4, 4)
	eventually(t, s.subscriber, 3, once)
}

// eventuallyAtLeast polls until the query returns want or more.
func eventuallyAtLeast(t *testing.T, pool *postgres.DB, want int64, query string) {
	t.Helper()
	eventually(t, pool, 1, fmt.Sprintf("SELECT count(*) FROM (%s) AS asked (n) WHERE n >= %d", query, want))
}
