package events_test

import (
	"context"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // PostgreSQL keeps running
}

// happened is the event that the module publisher publishes and the module subscriber counts.
type happened struct {
	Thing string `json:"thing"`
}

func (happened) Topic() string { return "publisher.happened.v1" }

func (h happened) Aggregate() (id string, version int64) { return h.Thing, 1 }

var subscriberSchema = fstest.MapFS{"0001_effects.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE effects (thing text PRIMARY KEY, times integer NOT NULL);
`)}}

// shop is a publisher and a subscriber on a database of their own.
type shop struct {
	db                    *pgtest.DB
	publisher, subscriber *postgres.DB
	outbox                *events.Outbox // the publisher's
	bus                   *flakyBus
	cfg                   events.Config
	log                   *slog.Logger
}

func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopOn(t, subscriberSchema)
}

// newShopOn is newShop with another schema of the publisher.
func newShopOn(t *testing.T, publisherSchema fs.FS) *shop {
	t.Helper()
	db := pgtest.New(t,
		pgtest.Schema{Module: "publisher", Migrations: publisherSchema},
		pgtest.Schema{Module: "subscriber", Migrations: subscriberSchema})
	bus := events.NewMemoryBus()
	t.Cleanup(func() { _ = bus.Close() })
	s := &shop{
		db:        db,
		publisher: db.Module(t, "publisher"), subscriber: db.Module(t, "subscriber"),
		bus: &flakyBus{MemoryBus: bus},
		cfg: events.Config{
			RelayBatch: 50, ConsumerBatch: 20, Poll: 20 * time.Millisecond, MaxAttempts: 3,
			RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
			OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: 3 * time.Hour,
		},
		log: slog.New(slog.DiscardHandler),
	}
	s.outbox = events.NewOutbox(s.publisher, s.bus, s.cfg, s.log) // not running
	return s
}

// other is an event of another topic.
type other struct{ happened }

func (other) Topic() string { return "publisher.other.v1" }

// answered is an event that the subscriber publishes.
type answered struct{ happened }

func (answered) Topic() string { return "subscriber.answered.v1" }

// publish commits one event for each thing.
func (s *shop) publish(ctx context.Context, t *testing.T, things ...string) {
	t.Helper()
	all := make([]events.Event, len(things))
	for i, thing := range things {
		all[i] = happened{thing}
	}
	commit(ctx, t, s.publisher, s.outbox, all...)
}

// commit publishes the events in one transaction.
func commit(ctx context.Context, t *testing.T, db *postgres.DB, outbox *events.Outbox, all ...events.Event) {
	t.Helper()
	err := db.InTx(ctx, func(tx pgx.Tx) error {
		for _, ev := range all {
			if err := outbox.PublishTx(ctx, tx, ev); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// replay replays all events, and checks how many they are.
func (s *shop) replay(t *testing.T, want int64) {
	t.Helper()
	n, err := events.Replay(t.Context(), s.publisher.Pool, time.Now().Add(-time.Minute), func(int64) {})
	if err != nil || n != want {
		t.Fatalf("replay: %d, %v, want %d", n, err, want)
	}
}

// subscribe runs a consumer with the handler until the test ends, or until stop is called.
func (s *shop) subscribe(t *testing.T, handle func(context.Context, pgx.Tx, happened) error) (stop func()) {
	t.Helper()
	return s.runConsumer(t, events.NewConsumer(s.subscriber, s.bus, []events.Handler{events.On(handle)}, s.cfg, s.log))
}

func (s *shop) runConsumer(t *testing.T, consumer *events.Consumer) (stop func()) {
	t.Helper()
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	return run(t, consumer.Run)
}

// runOutbox runs the publisher's outbox until the test ends, or until stop is called.
func (s *shop) runOutbox(t *testing.T) (stop func()) {
	t.Helper()
	s.outbox, stop = s.runOutboxOn(t, s.bus)
	return stop
}

// runOutboxOn runs another outbox of the publisher, on another bus.
func (s *shop) runOutboxOn(t *testing.T, bus message.Publisher) (outbox *events.Outbox, stop func()) {
	t.Helper()
	outbox = events.NewOutbox(s.publisher, bus, s.cfg, s.log)
	stop = run(t, outbox.Run)
	await(t, outbox.Running)
	return outbox, stop
}

func run(t *testing.T, part func(context.Context) error) (stop func()) {
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

// count is a handler that counts how often each event was applied.
func count(ctx context.Context, tx pgx.Tx, h happened) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (thing, times) VALUES ($1, 1)
		ON CONFLICT (thing) DO UPDATE SET times = effects.times + 1`, h.Thing)
	return err
}

// eventually polls until the query returns want.
func eventually(t *testing.T, db *postgres.DB, want int64, query string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var got int64
		if err := db.QueryRow(t.Context(), query).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %d, want %d", query, got, want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// expect checks that the query returns want.
func expect(t *testing.T, db *postgres.DB, want int64, query string) {
	t.Helper()
	var got int64
	if err := db.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
		t.Errorf("%s: got %d, %v, want %d", query, got, err, want)
	}
}

const drained = "SELECT count(*) FROM outbox_pending"

// logBuffer keeps log lines.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(line))
	return len(line), nil
}

// count returns how many lines contain text.
func (b *logBuffer) count(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// await waits for a line that contains text, and returns it.
func (b *logBuffer) await(t *testing.T, text string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		b.mu.Lock()
		lines := slices.Clone(b.lines)
		b.mu.Unlock()
		if i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, text) }); i >= 0 {
			return lines[i]
		}
	}
	t.Fatalf("no line contains %s", text)
	return ""
}
