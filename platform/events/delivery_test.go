package events_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/events"
)

func TestAnEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.bus.failures = 3 // the first deliveries are not marked, so they are repeated
	s.tell(t)
	for i := range 120 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	eventually(t, s.teller, 0, drained)
	eventually(t, s.listener, 120, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.listener, 120, "SELECT count(*) FROM inbox")
}

func TestNoEventWithoutItsCommit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	stopListening := s.listen(t, count)
	stopTelling := s.tell(t)
	err := s.teller.InTx(t.Context(), func(tx pgx.Tx) error {
		if err := s.outbox.PublishTx(t.Context(), tx, happened{"never"}); err != nil {
			return err
		}
		return errors.New("changed my mind")
	})
	if err == nil {
		t.Fatal("committed")
	}
	s.publish(t.Context(), t, "always")
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'always'")
	eventually(t, s.teller, 0, drained)
	stopTelling()
	stopListening() // now nothing is under way any more
	expect(t, s.teller, 1, "SELECT count(*) FROM outbox")
	expect(t, s.listener, 1, "SELECT count(*) FROM inbox")
	expect(t, s.listener, 1, "SELECT count(*) FROM effects")
	expect(t, s.listener, 0, "SELECT count(*) FROM failed")
}

// Two processes listen for one schema and their handlers lock the same rows in opposite orders:
// without the turn they deadlock.
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

// Two processes of one module have different events, and their handlers wait for each other's rows:
// one batch runs at a time.
func TestOneBatchOfAModuleRunsAtATime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var inside atomic.Int32
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if err := count(ctx, tx, h); err != nil { // the turn is taken with a handler's first statement
			return err
		}
		if n := inside.Add(1); n > 1 {
			t.Errorf("%d handlers at a time", n)
		}
		time.Sleep(50 * time.Millisecond)
		inside.Add(-1)
		return nil
	})
	var publishing sync.WaitGroup
	for process := range 2 {
		bus := events.NewMemoryBus()
		t.Cleanup(func() { _ = bus.Close() })
		s.runConsumer(t, events.NewConsumer(s.listener, bus, []events.Handler{handler}, s.cfg, s.log))
		publishing.Go(func() {
			for i := range 5 {
				if err := bus.Publish(happened{}.Topic(), messageOf(t, happened{fmt.Sprint(process, i)}, nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	expect(t, s.listener, 10, "SELECT count(*) FROM effects WHERE times = 1")
}

func TestTheTraceAndTheOriginTravelAlong(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	heard := make(chan context.Context, 1)
	answers := events.NewOutbox(s.listener, s.bus, s.cfg, s.log)
	s.listen(t, func(ctx context.Context, tx pgx.Tx, _ happened) error {
		// What the handler publishes carries on what it received.
		if err := answers.PublishTx(ctx, tx, answered{happened{"answer"}}); err != nil {
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
		"specversion":"1.0","source":"/listener","type":"listener.answered.v1","subject":"answer","aggregateversion":"1"}' AND headers->>'traceparent' LIKE '00-010203%'`)
}

func TestTwoHandlersForOneTopicAreAMistake(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	defer func() {
		if p := recover(); p != "events: two handlers for teller.happened.v1" {
			t.Errorf("recovered %v", p)
		}
	}()
	events.NewConsumer(s.listener, s.bus, []events.Handler{events.On(count), events.On(count)}, s.cfg, s.log)
	t.Error("one of the two handlers would never run")
}

// Requests have taken every connection of the pool; delivery has its own.
func TestAnExhaustedPoolHoldsUpNoDelivery(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "poison" {
			return errors.New("it is broken")
		}
		return count(ctx, tx, h)
	})
	s.tell(t)
	for range s.listener.Config().MaxConns {
		conn, err := s.listener.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
	}
	s.publish(t.Context(), t, "before", "poison", "after")
	another := s.db.Module(t, "listener")
	eventually(t, another, 2, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, another, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3")
}
