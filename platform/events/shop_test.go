package events_test

import (
	"context"
	"errors"
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
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the server stays
}

// happened is the fact that the teller module publishes and the listener module counts.
type happened struct {
	Thing string `json:"thing"`
}

func (happened) Topic() string { return "teller.happened.v1" }

func (h happened) Aggregate() (id string, version int64) { return h.Thing, 1 }

var listenerSchema = fstest.MapFS{"0001_effects.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE effects (thing text PRIMARY KEY, times integer NOT NULL);
`)}}

// shop is a teller and a listener on a database of their own.
type shop struct {
	db               *pgtest.DB
	teller, listener *pgxpool.Pool
	bus              *flakyBus
	cfg              events.Config
	log              *slog.Logger
}

func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopOn(t, listenerSchema)
}

// newShopOn gives the teller another schema than usual.
func newShopOn(t *testing.T, tellerSchema fs.FS) *shop {
	t.Helper()
	db := pgtest.New(t,
		pgtest.Schema{Module: "teller", Migrations: tellerSchema},
		pgtest.Schema{Module: "listener", Migrations: listenerSchema})
	bus := events.NewMemoryBus()
	t.Cleanup(func() { _ = bus.Close() })
	return &shop{
		db:     db,
		teller: db.Pool(t, "teller"), listener: db.Pool(t, "listener"),
		bus: &flakyBus{MemoryBus: bus},
		cfg: events.Config{
			RelayBatch: 50, ConsumerBatch: 20, Poll: 20 * time.Millisecond, MaxAttempts: 3,
			RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
			OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: 3 * time.Hour,
		},
		log: slog.New(slog.DiscardHandler),
	}
}

// flakyBus fails after delivery as often as it is told to, like a process that dies between publishing and marking, and takes
// nothing of one topic.
type flakyBus struct {
	*events.MemoryBus
	mu       sync.Mutex
	failures int
	refused  string
}

func (b *flakyBus) refuse(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = topic
}

func (b *flakyBus) Publish(topic string, messages ...*message.Message) error {
	b.mu.Lock()
	refused := b.refused == topic
	b.mu.Unlock()
	if refused {
		return errors.New("not this topic")
	}
	err := b.MemoryBus.Publish(topic, messages...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		b.failures--
		return errors.New("died before marking")
	}
	return err
}

// other is a fact of another topic.
type other struct{ happened }

func (other) Topic() string { return "teller.other.v1" }

// publish commits one event for each thing.
func (s *shop) publish(ctx context.Context, t *testing.T, things ...string) {
	t.Helper()
	err := pgx.BeginFunc(ctx, s.teller, func(tx pgx.Tx) error {
		for _, thing := range things {
			if err := events.PublishTx(ctx, tx, happened{thing}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listen runs a consumer with the handler until the test ends, or until stop is called.
func (s *shop) listen(t *testing.T, handle func(context.Context, pgx.Tx, happened) error) (stop func()) {
	t.Helper()
	return s.runConsumer(t, events.NewConsumer(s.listener, s.bus, []events.Handler{events.On(handle)}, s.cfg, s.log))
}

func (s *shop) runConsumer(t *testing.T, consumer *events.Consumer) (stop func()) {
	t.Helper()
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	return run(t, consumer.Run)
}

// tell runs a relay until the test ends.
func (s *shop) tell(t *testing.T) *events.Outbox {
	t.Helper()
	outbox, _ := s.tellUntil(t)
	return outbox
}

// tellUntil runs a relay until stop is called.
func (s *shop) tellUntil(t *testing.T) (outbox *events.Outbox, stop func()) {
	t.Helper()
	outbox = events.NewOutbox(s.teller, s.bus, s.cfg, s.log)
	return outbox, run(t, outbox.Run)
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

// count is a handler whose effect shows how often it was applied.
func count(ctx context.Context, tx pgx.Tx, h happened) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (thing, times) VALUES ($1, 1)
		ON CONFLICT (thing) DO UPDATE SET times = effects.times + 1`, h.Thing)
	return err
}

// eventually asks until the query answers want.
func eventually(t *testing.T, pool *pgxpool.Pool, want int64, query string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
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
		time.Sleep(2 * time.Millisecond)
	}
}

// expect asks once.
func expect(t *testing.T, pool *pgxpool.Pool, want int64, query string) {
	t.Helper()
	var got int64
	if err := pool.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
		t.Errorf("%s: got %d, %v, want %d", query, got, err, want)
	}
}

const drained = "SELECT count(*) FROM outbox WHERE published_at IS NULL"

// logBuffer keeps what is logged, for a test that waits for a line.
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

// count is how many lines hold text.
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

// await returns the first line that holds text.
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
	t.Fatalf("nothing says %s", text)
	return ""
}
