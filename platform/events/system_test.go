package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // PostgreSQL keeps running
}

type (
	happened = eventtest.Happened
	delivery = events.Delivery[happened]
)

// other is an event of another topic, and answered one that the subscriber publishes.
type (
	other    struct{ happened }
	answered struct{ happened }
)

func (other) Topic() string    { return "publisher.other.v1" }
func (answered) Topic() string { return "subscriber.answered.v1" }

// system has the bus in memory, and an outbox of the publisher.
type system struct {
	*eventtest.System
	t      *testing.T
	outbox *events.Outbox // runs after runOutbox
	bus    *flakyBus
}

func newSystem(t *testing.T) *system {
	t.Helper()
	return newSystemOn(t, eventtest.Schema)
}

// newSystemOn is newSystem with another schema of the publisher.
func newSystemOn(t *testing.T, schema fs.FS) *system {
	t.Helper()
	s := &system{System: eventtest.New(t, schema), t: t, bus: &flakyBus{MemoryBus: events.NewMemoryBus()}}
	t.Cleanup(func() { _ = s.bus.Close() })
	s.outbox = events.NewOutbox(s.Publisher, s.bus, s.Config, s.Log)
	return s
}

// publish commits an event for each thing.
func (s *system) publish(things ...string) {
	s.t.Helper()
	s.Commit(s.t.Context(), s.outbox, things...)
}

// runOutbox runs an outbox of the publisher with the present configuration.
func (s *system) runOutbox() (stop func()) {
	s.t.Helper()
	s.outbox, stop = s.runOutboxOn(s.bus)
	return stop
}

func (s *system) runOutboxOn(bus message.Publisher) (outbox *events.Outbox, stop func()) {
	s.t.Helper()
	outbox = events.NewOutbox(s.Publisher, bus, s.Config, s.Log)
	stop = pgtest.Run(s.t, outbox.Run)
	pgtest.Until(s.t, "it runs", outbox.Running)
	return outbox, stop
}

func (s *system) consumer(handlers ...events.Handler) *events.Consumer {
	return events.NewConsumer(s.Subscriber, s.bus, handlers, s.Config, s.Log)
}

// subscribe runs a consumer with the handler.
func (s *system) subscribe(handle func(context.Context, pgx.Tx, happened) error) (stop func()) {
	s.t.Helper()
	return s.Consume(s.consumer(events.On(handle)))
}

// exec changes rows by hand.
func (s *system) exec(db interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) {
	s.t.Helper()
	if _, err := db.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// flakyBus fails that often after delivery, by an error or a panic, as when a process dies between
// publishing and marking. It refuses one topic and holds another.
type flakyBus struct {
	*events.MemoryBus
	mu            sync.Mutex
	failures      int
	refused, held string
	release       chan struct{}
	asked         chan struct{} // when a held topic is published
	given         []given
}

// given is a message that was published.
type given struct{ id, topic, replays string }

func (b *flakyBus) refuse(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = topic
}

// hold blocks the topic until release is called, or the test ends. Outboxes that run before it end
// after that.
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

// all returns what was published so far.
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
		if b.failures%2 == 1 {
			panic("a bug in the bus")
		}
		return errors.New("died before marking")
	}
	return err
}

// messageOf returns the message of an event with a cause, and with that id if it is not empty.
func messageOf(ev events.Event, id string, cause events.Cause) *message.Message {
	payload, _ := json.Marshal(ev)
	if id == "" {
		id = uuid.NewString()
	}
	m := message.NewMessage(id, payload)
	for name, value := range cause {
		m.Metadata[name] = value
	}
	m.Metadata["type"] = ev.Topic()
	m.Metadata["subject"], _ = ev.Aggregate()
	return m
}

// gate is an event whose handler waits until what arrives meanwhile is one batch.
type gate struct{ happened }

func (gate) Topic() string { return "publisher.gate.v1" }

// gated runs a consumer. Each call of deliver gives it messages as one batch, in this order, and
// returns when all are acknowledged.
func (s *system) gated(handlers ...events.Handler) (deliver func(messages ...*message.Message), stop func()) {
	s.t.Helper()
	entered, proceed := make(chan struct{}), make(chan struct{})
	consumer := s.consumer(append(handlers, events.On(func(ctx context.Context, _ pgx.Tx, _ gate) error {
		entered <- struct{}{}
		select {
		case <-proceed:
		case <-ctx.Done():
		}
		return nil
	}))...)
	stop = s.Consume(consumer)
	return func(messages ...*message.Message) {
		s.t.Helper()
		var publishing errgroup.Group
		publishing.Go(func() error { return s.bus.Publish(gate{}.Topic(), messageOf(gate{}, "", nil)) })
		<-entered
		for i, m := range messages {
			publishing.Go(func() error { return s.bus.Publish(m.Metadata["type"], m) })
			pgtest.Until(s.t, "it has arrived", func() bool { return consumer.Waiting() == i+1 })
		}
		proceed <- struct{}{}
		if err := publishing.Wait(); err != nil {
			s.t.Error(err)
		}
	}, stop
}

// replay replays all events, and checks how many they are.
func (s *system) replay(want int64) {
	s.t.Helper()
	n, err := events.Replay(s.t.Context(), s.Publisher.Pool(), time.Now().Add(-time.Minute), func(int64) {})
	if err != nil || n != want {
		s.t.Fatalf("replay: %d, %v, want %d", n, err, want)
	}
}
