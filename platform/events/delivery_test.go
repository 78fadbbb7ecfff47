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

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

// The bus fails after the first deliveries, so that they are repeated.
func TestAnEventIsAppliedOnceIfItCommits(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	stopConsumer := s.subscribe(eventtest.Count)
	s.bus.failures = 3
	stopOutbox := s.runOutbox()
	err := s.Publisher.InTx(t.Context(), func(tx pgx.Tx) error {
		if err := s.outbox.PublishTx(t.Context(), tx, happened{Thing: "never"}); err != nil {
			return err
		}
		return errors.New("changed my mind")
	})
	if err == nil {
		t.Fatal("committed")
	}
	for _, thing := range eventtest.Things(1, 120) {
		s.publish(thing)
	}
	s.Applied(120)
	s.Drained()
	stopOutbox()
	stopConsumer() // now nothing is under way any more
	s.Expect(s.Publisher, 120, "SELECT count(*) FROM outbox")
	s.Expect(s.Subscriber, 120, "SELECT count(*) FROM inbox")
	s.Expect(s.Subscriber, 120, "SELECT count(*) FROM effects")
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
}

// Two processes of a module get different events, whose handlers could deadlock on each other's
// rows.
func TestOneBatchOfAModuleRunsAtATime(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var inside atomic.Int32
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if err := eventtest.Count(ctx, tx, h); err != nil { // the lock is taken with a handler's first statement
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
		s.Consume(events.NewConsumer(s.Subscriber, bus, []events.Handler{handler}, s.Config, s.Log))
		publishing.Go(func() {
			for i := range 5 {
				if err := bus.Publish(eventtest.Topic, messageOf(happened{Thing: fmt.Sprint(process, i)}, "", nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	s.Applied(10)
}

func TestTwoHandlersForOneTopicAreAMistake(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	defer func() {
		if p := recover(); p != "events: two handlers for publisher.happened.v1" {
			t.Errorf("recovered %v", p)
		}
	}()
	s.consumer(events.On(eventtest.Count), events.On(eventtest.Count))
}

// Requests use every connection of the pool; delivery has its own.
func TestAnExhaustedPoolHoldsUpNoDelivery(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.subscribe(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "poison" {
			return errors.New("it is broken")
		}
		return eventtest.Count(ctx, tx, h)
	})
	s.runOutbox()
	for range s.Subscriber.Pool().Config().MaxConns {
		conn, err := s.Subscriber.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
	}
	s.publish("before", "poison", "after")
	s.Subscriber = s.Database.Module(t, "subscriber")
	s.Applied(2)
	s.Eventually(s.Subscriber, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3")
}

// Events that linger share transactions. They delay neither other events nor each other's
// publication, are handled at once with an event that does not linger, and linger neither longer
// than configured nor in a process that stops.
func TestEventsThatLingerShareATransaction(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.Linger = time.Hour
	batches := make(chan int, 100)
	lingering := events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
		batches <- len(batch)
		return insertAll(ctx, tx, batch)
	}).Linger()
	urgent := events.On(func(context.Context, pgx.Tx, other) error { return nil })
	consumer := s.consumer(lingering, urgent)
	stop := s.Consume(consumer)
	s.runOutbox()
	for i := range 10 {
		s.publish(fmt.Sprint(i)) // each is published alone
		pgtest.Until(t, "it is published", func() bool { return len(s.bus.all()) == i+1 })
	}
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM effects")
	s.CommitAll(t.Context(), s.outbox, other{})
	s.Applied(10)
	if n := <-batches; n < 2 { // the last ones may still have been on their way
		t.Errorf("%d of 10 events were handled in the first transaction", n)
	}
	s.publish("late")
	pgtest.Until(t, "it is published", func() bool { return len(s.bus.all()) == 12 })
	time.Sleep(20 * time.Millisecond) // it has arrived, and lingers
	stop()
	s.Applied(11)
	s.bus.MemoryBus = events.NewMemoryBus() // without the consumer that has stopped
	s.Config.Linger = 30 * time.Millisecond
	s.Consume(s.consumer(lingering))
	s.publish("alone")
	s.Applied(12)
}
