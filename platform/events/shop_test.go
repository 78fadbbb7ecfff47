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
	teller, listener *postgres.DB
	outbox           *events.Outbox // the teller's
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
	s := &shop{
		db:     db,
		teller: db.Module(t, "teller"), listener: db.Module(t, "listener"),
		bus: &flakyBus{MemoryBus: bus},
		cfg: events.Config{
			RelayBatch: 50, ConsumerBatch: 20, Poll: 20 * time.Millisecond, MaxAttempts: 3,
			RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
			OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: 3 * time.Hour,
		},
		log: slog.New(slog.DiscardHandler),
	}
	s.outbox = events.NewOutbox(s.teller, s.bus, s.cfg, s.log) // does not run
	return s
}

// flakyBus fails after delivery as often as it is told to, like a process that dies between
// publishing and marking, takes nothing of one topic, and is slow with another.
type flakyBus struct {
	*events.MemoryBus
	mu       sync.Mutex
	failures int
	refused  string
	held     string
	release  chan struct{}
	asked    chan struct{} // for what is held
	given    []given
}

// given is a message that the bus was given.
type given struct{ id, topic, replays string }

func (b *flakyBus) refuse(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = topic
}

// hold makes the bus wait with a topic until release is called, at the end of the test at the
// latest. An outbox that runs before it is called then ends after that.
func (b *flakyBus) hold(t *testing.T, topic string) (release func()) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held, b.release, b.asked = topic, make(chan struct{}), make(chan struct{}, 10000)
	release = sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held = ""
		close(b.release)
	})
	t.Cleanup(release)
	return release
}

// all is what the bus was given so far.
func (b *flakyBus) all() []given {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.given)
}

func (b *flakyBus) Publish(topic string, messages ...*message.Message) error {
	b.mu.Lock()
	refused, held, release, asked := b.refused == topic, b.held == topic, b.release, b.asked
	for _, m := range messages {
		b.given = append(b.given, given{m.UUID, topic, m.Metadata[events.MetadataReplays]})
	}
	b.mu.Unlock()
	if refused {
		return errors.New("not this topic")
	}
	if held {
		asked <- struct{}{}
		<-release
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

// answered is a fact that the listener publishes.
type answered struct{ happened }

func (answered) Topic() string { return "listener.answered.v1" }

// publish commits one event for each thing.
func (s *shop) publish(ctx context.Context, t *testing.T, things ...string) {
	t.Helper()
	all := make([]events.Event, len(things))
	for i, thing := range things {
		all[i] = happened{thing}
	}
	commit(ctx, t, s.teller, s.outbox, all...)
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

// tell runs the teller's outbox until the test ends, or until stop is called.
func (s *shop) tell(t *testing.T) (stop func()) {
	t.Helper()
	s.outbox, stop = s.tellOn(t, s.bus)
	return stop
}

// tellOn runs another outbox of the teller's, on another bus.
func (s *shop) tellOn(t *testing.T, bus message.Publisher) (outbox *events.Outbox, stop func()) {
	t.Helper()
	outbox = events.NewOutbox(s.teller, bus, s.cfg, s.log)
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

// count is a handler whose effect shows how often it was applied.
func count(ctx context.Context, tx pgx.Tx, h happened) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (thing, times) VALUES ($1, 1)
		ON CONFLICT (thing) DO UPDATE SET times = effects.times + 1`, h.Thing)
	return err
}

// eventually asks until the query answers want.
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

// expect asks once.
func expect(t *testing.T, db *postgres.DB, want int64, query string) {
	t.Helper()
	var got int64
	if err := db.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
		t.Errorf("%s: got %d, %v, want %d", query, got, err, want)
	}
}

const drained = "SELECT count(*) FROM outbox_pending"

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
