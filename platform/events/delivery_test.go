package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	teller, listener *pgxpool.Pool
	bus              *flakyBus
	cfg              events.Config
}

func newShop(t *testing.T) *shop {
	t.Helper()
	db := pgtest.New(t,
		pgtest.Schema{Module: "teller", Migrations: listenerSchema},
		pgtest.Schema{Module: "listener", Migrations: listenerSchema})
	bus := events.NewMemoryBus()
	t.Cleanup(func() { _ = bus.Close() })
	return &shop{
		teller: db.Pool(t, "teller"), listener: db.Pool(t, "listener"),
		bus: &flakyBus{MemoryBus: bus},
		cfg: events.Config{
			RelayBatch: 50, ConsumerBatch: 20, Poll: 20 * time.Millisecond, MaxAttempts: 3,
			RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
			OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour,
		},
	}
}

// flakyBus fails after delivery as often as it is told to, like a process that dies between publishing and marking.
type flakyBus struct {
	*events.MemoryBus
	mu       sync.Mutex
	failures int
}

func (b *flakyBus) Publish(topic string, messages ...*message.Message) error {
	err := b.MemoryBus.Publish(topic, messages...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		b.failures--
		return errors.New("died before marking")
	}
	return err
}

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

// listen runs a consumer with the handler until the test ends.
func (s *shop) listen(t *testing.T, handle func(context.Context, pgx.Tx, happened) error) {
	t.Helper()
	consumer := events.NewConsumer(s.listener, s.bus, []events.Handler{events.On(handle)}, s.cfg, slog.New(slog.DiscardHandler), func() {})
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, consumer.Run)
}

// tell runs a relay until the test ends.
func (s *shop) tell(t *testing.T) *events.Outbox {
	t.Helper()
	outbox := events.NewOutbox(s.teller, s.bus, s.cfg, slog.New(slog.DiscardHandler))
	run(t, outbox.Run)
	return outbox
}

func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
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

const drained = "SELECT count(*) FROM outbox WHERE published_at IS NULL"

func TestAnEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.bus.failures = 3 // the first deliveries are not marked, so they are repeated
	outbox := s.tell(t)
	for i := range 120 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		outbox.Wake()
	}
	eventually(t, s.teller, 0, drained)
	eventually(t, s.listener, 120, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.listener, 120, "SELECT count(*) FROM inbox")
}

func TestNoEventWithoutItsCommit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	outbox := s.tell(t)
	err := pgx.BeginFunc(t.Context(), s.teller, func(tx pgx.Tx) error {
		if err := events.PublishTx(t.Context(), tx, happened{"never"}); err != nil {
			return err
		}
		outbox.Wake()
		return errors.New("changed my mind")
	})
	if err == nil {
		t.Fatal("committed")
	}
	s.publish(t.Context(), t, "always")
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'always'")
	eventually(t, s.listener, 0, "SELECT count(*) FROM effects WHERE thing = 'never'")
}

// A row with an old id, from a long transaction or another machine's clock, lies below what a woken relay looks at.
func TestTheRelayFindsRowsThatCameLate(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	s.publish(t.Context(), t, "fresh")
	eventually(t, s.teller, 0, drained)
	_, err := s.teller.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		VALUES ('00000000-0000-7000-8000-000000000001', 'teller.happened.v1', 'late', '{"thing":"late"}', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'late'")
}

func TestAFailingEventHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context, pgx.Tx) error{
		"error": func(context.Context, pgx.Tx) error { return errors.New("it is broken") },
		"panic": func(context.Context, pgx.Tx) error { panic("it is broken") },
		"bad statement": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1/0 -- it is broken")
			return fmt.Errorf("it is broken: %w", err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			healed := make(chan struct{})
			s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
				if err := count(ctx, tx, h); err != nil || h.Thing != "poison" {
					return err
				}
				select {
				case <-healed:
					return nil
				default:
					return fail(ctx, tx)
				}
			})
			s.tell(t)
			s.publish(t.Context(), t, "before", "poison", "after")
			eventually(t, s.listener, 2, "SELECT count(*) FROM effects WHERE times = 1")
			eventually(t, s.listener, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%it is broken%'")
			eventually(t, s.teller, 0, drained)
			s.publish(t.Context(), t, "later")
			eventually(t, s.listener, 3, "SELECT count(*) FROM effects WHERE times = 1")

			close(healed)
			if n, err := events.Redrive(t.Context(), s.listener); err != nil || n != 1 {
				t.Fatalf("redrive: %d, %v", n, err)
			}
			eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'poison' AND times = 1")
			eventually(t, s.listener, 0, "SELECT count(*) FROM failed")
			eventually(t, s.listener, 4, "SELECT count(*) FROM inbox")
		})
	}
}

func TestWhatCannotBeDecodedIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	bad := message.NewMessage("0198f000-0000-7000-8000-000000000001", []byte(`{"thing":`))
	if err := s.bus.Publish("teller.happened.v1", bad); err != nil {
		t.Fatal(err)
	}
	eventually(t, s.listener, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND reason LIKE '%decode%'")
}

// Two processes listen for one schema and their handlers lock the same rows in opposite orders: without the turn they deadlock.
func TestTwoProcessesListenForOneSchema(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	opposite := func(ctx context.Context, tx pgx.Tx, h happened) error {
		for _, other := range map[bool][]string{true: {"a", "b"}, false: {"b", "a"}}[len(h.Thing)%2 == 0] {
			if err := count(ctx, tx, happened{other}); err != nil {
				return err
			}
		}
		return nil
	}
	s.listen(t, opposite)
	s.listen(t, opposite) // the memory bus gives every message to both
	s.tell(t)
	for i := range 200 {
		s.publish(t.Context(), t, fmt.Sprintf("%*d", i%7, i))
	}
	eventually(t, s.teller, 0, drained)
	eventually(t, s.listener, 2, "SELECT count(*) FROM effects WHERE times = 200")
	eventually(t, s.listener, 0, "SELECT count(*) FROM failed")
	eventually(t, s.listener, 0, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

func TestTheTraceAndTheOriginTravelAlong(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	heard := make(chan context.Context, 1)
	s.listen(t, func(ctx context.Context, tx pgx.Tx, _ happened) error {
		// What the handler publishes carries on what it received.
		if err := events.PublishTx(ctx, tx, happened{"answer"}); err != nil {
			return err
		}
		heard <- ctx
		return nil
	})
	s.tell(t)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	ctx = events.WithOrigin(ctx, events.Origin{CorrelationID: "request-7", Actor: "customer:ada"})
	s.publish(ctx, t, "thing")
	if got := trace.SpanContextFromContext(<-heard).TraceID(); got != span.TraceID() {
		t.Errorf("the handler's trace is %s", got)
	}
	eventually(t, s.listener, 1, `SELECT count(*) FROM outbox WHERE headers @> '{"correlationid":"request-7","actor":"customer:ada",
		"specversion":"1.0","type":"teller.happened.v1","subject":"answer","aggregateversion":"1"}' AND headers->>'traceparent' LIKE '00-010203%'`)
}

func TestReplayIsHarmless(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	s.publish(t.Context(), t, "one", "two")
	eventually(t, s.teller, 0, drained)
	if n, err := events.Replay(t.Context(), s.teller, time.Now().Add(-time.Minute)); err != nil || n != 2 {
		t.Fatalf("replay: %d, %v", n, err)
	}
	eventually(t, s.teller, 0, drained)
	eventually(t, s.listener, 2, "SELECT count(*) FROM effects WHERE times = 1")
}

func TestOnlyWhatIsOldAndDoneIsPruned(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, err := s.teller.Exec(t.Context(), `
		INSERT INTO outbox (id, topic, key, payload, headers, published_at)
		SELECT gen_random_uuid(), 'nobody.listens.v1', '', '{}', '{}', now() - age FROM unnest(ARRAY[interval '2h', '1min']) AS age`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.listener.Exec(t.Context(), `
		INSERT INTO inbox (event_id, topic, handled_at)
		SELECT gen_random_uuid(), 't', now() - age FROM unnest(ARRAY[interval '3h', '90min']) AS age`)
	if err != nil {
		t.Fatal(err)
	}
	s.tell(t)
	s.listen(t, count)
	eventually(t, s.teller, 1, "SELECT count(*) FROM outbox")
	eventually(t, s.listener, 1, "SELECT count(*) FROM inbox")
}

func TestASchemaBelongsToOneBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for range 2 {
		if err := events.RecordBus(t.Context(), s.teller, "memory"); err != nil {
			t.Fatal(err)
		}
	}
	if err := events.RecordBus(t.Context(), s.teller, "nats"); !errors.Is(err, events.ErrOtherBus) {
		t.Errorf("got %v", err)
	}
}
