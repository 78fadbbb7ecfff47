package events_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// Events that linger share transactions. They delay neither other events nor each other's
// publication, and are handled at once with an event that does not linger.
func TestEventsThatLingerShareATransaction(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Linger = time.Hour
	batches := make(chan int, 100)
	lingering := events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[happened]) error {
		batches <- len(batch)
		return insertAll(ctx, tx, batch)
	}).Linger()
	urgent := events.On(func(context.Context, pgx.Tx, other) error { return nil })
	s.runConsumer(t, events.NewConsumer(s.subscriber, s.bus, []events.Handler{lingering, urgent}, s.cfg, s.log))
	s.runOutbox(t)
	for i := range 10 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		time.Sleep(5 * time.Millisecond) // so that each is published alone
	}
	expect(t, s.subscriber, 0, "SELECT count(*) FROM effects")
	commit(t.Context(), t, s.publisher, s.outbox, other{happened{"urgent"}})
	eventually(t, s.subscriber, 10, "SELECT count(*) FROM effects WHERE times = 1")
	if n := <-batches; n < 2 { // the last ones may still have been on their way
		t.Errorf("%d of 10 events were handled in the first transaction", n)
	}
}

// Events linger no longer than configured, and not in a process that stops.
func TestNothingLingersForLong(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Linger = 30 * time.Millisecond
	stop := s.runConsumer(t,
		events.NewConsumer(s.subscriber, s.bus, []events.Handler{events.OnBatch(insertAll).Linger()}, s.cfg, s.log))
	s.runOutbox(t)
	s.publish(t.Context(), t, "one")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE times = 1")
	stop()

	s.cfg.Linger = time.Hour
	stop = s.runConsumer(t,
		events.NewConsumer(s.subscriber, s.bus, []events.Handler{events.OnBatch(insertAll).Linger()}, s.cfg, s.log))
	s.publish(t.Context(), t, "two")
	time.Sleep(50 * time.Millisecond) // it has arrived, and lingers
	stop()
}
