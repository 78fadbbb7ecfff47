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
	"example.com/shop/platform/origin"
)

func TestAnEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.bus.failures = 3 // the first deliveries are not marked, so they are repeated
	s.runOutbox(t)
	for i := range 120 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	eventually(t, s.publisher, 0, drained)
	eventually(t, s.subscriber, 120, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.subscriber, 120, "SELECT count(*) FROM inbox")
}

func TestNoEventWithoutItsCommit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	stopConsumer := s.subscribe(t, count)
	stopOutbox := s.runOutbox(t)
	err := s.publisher.InTx(t.Context(), func(tx pgx.Tx) error {
		if err := s.outbox.PublishTx(t.Context(), tx, happened{"never"}); err != nil {
			return err
		}
		return errors.New("changed my mind")
	})
	if err == nil {
		t.Fatal("committed")
	}
	s.publish(t.Context(), t, "always")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'always'")
	eventually(t, s.publisher, 0, drained)
	stopOutbox()
	stopConsumer() // now nothing is under way any more
	expect(t, s.publisher, 1, "SELECT count(*) FROM outbox")
	expect(t, s.subscriber, 1, "SELECT count(*) FROM inbox")
	expect(t, s.subscriber, 1, "SELECT count(*) FROM effects")
	expect(t, s.subscriber, 0, "SELECT count(*) FROM failed")
}

// The handlers of two processes lock the same rows in opposite orders, and deadlock without the
// module's lock.
func TestTwoProcessesHandleOneTopic(t *testing.T) {
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
	s.subscribe(t, opposite)
	s.subscribe(t, opposite) // the memory bus delivers every message to both
	s.runOutbox(t)
	for i := range 200 {
		s.publish(t.Context(), t, fmt.Sprintf("%*d", i%7, i))
	}
	eventually(t, s.publisher, 0, drained)
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 200")
	eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
	eventually(t, s.subscriber, 0, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

// Two processes of a module get different events, whose handlers wait for each other's rows.
func TestOneBatchOfAModuleRunsAtATime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var inside atomic.Int32
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if err := count(ctx, tx, h); err != nil { // the lock is taken with a handler's first statement
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
		s.runConsumer(t, events.NewConsumer(s.subscriber, bus, []events.Handler{handler}, s.cfg, s.log))
		publishing.Go(func() {
			for i := range 5 {
				if err := bus.Publish(happened{}.Topic(),
					messageOf(t, happened{fmt.Sprint(process, i)}, nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	expect(t, s.subscriber, 10, "SELECT count(*) FROM effects WHERE times = 1")
}

func TestTheTraceAndTheOriginTravelAlong(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	handled := make(chan context.Context, 1)
	answers := events.NewOutbox(s.subscriber, s.bus, s.cfg, s.log)
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, _ happened) error {
		// What the handler publishes has the cause of what it received.
		if err := answers.PublishTx(ctx, tx, answered{happened{"answer"}}); err != nil {
			return err
		}
		handled <- ctx
		return nil
	})
	s.runOutbox(t)
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled,
	})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	ctx = origin.With(ctx, origin.Request{CorrelationID: "request-7", Actor: "customer:ada"})
	s.publish(ctx, t, "thing")
	if got := trace.SpanContextFromContext(<-handled).TraceID(); got != span.TraceID() {
		t.Errorf("the handler's trace is %s", got)
	}
	eventually(t, s.subscriber, 1, `SELECT count(*) FROM outbox WHERE headers @>
		'{"correlationid":"request-7","actor":"customer:ada","specversion":"1.0","source":"/subscriber",
		"type":"subscriber.answered.v1","subject":"answer","aggregateversion":"1"}'
		AND headers->>'traceparent' LIKE '00-010203%'`)
}

func TestTwoHandlersForOneTopicAreAMistake(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	defer func() {
		if p := recover(); p != "events: two handlers for publisher.happened.v1" {
			t.Errorf("recovered %v", p)
		}
	}()
	events.NewConsumer(s.subscriber, s.bus, []events.Handler{events.On(count), events.On(count)}, s.cfg, s.log)
	t.Error("one of the two handlers would never run")
}

// Requests use every connection of the pool; delivery has its own.
func TestAnExhaustedPoolHoldsUpNoDelivery(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "poison" {
			return errors.New("it is broken")
		}
		return count(ctx, tx, h)
	})
	s.runOutbox(t)
	for range s.subscriber.Config().MaxConns {
		conn, err := s.subscriber.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
	}
	s.publish(t.Context(), t, "before", "poison", "after")
	another := s.db.Module(t, "subscriber")
	eventually(t, another, 2, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, another, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3")
}
