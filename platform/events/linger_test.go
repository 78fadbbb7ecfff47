package events_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// Events that linger share transactions, hold up neither those that do not nor each other's
// publication, and go at once with one that does not.
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
	s.runConsumer(t, events.NewConsumer(s.listener, s.bus, []events.Handler{lingering, urgent}, s.cfg, s.log))
	s.tell(t)
	for i := range 10 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		time.Sleep(5 * time.Millisecond) // so that each is published alone
	}
	expect(t, s.listener, 0, "SELECT count(*) FROM effects")
	commit(t.Context(), t, s.teller, s.outbox, other{happened{"urgent"}})
	eventually(t, s.listener, 10, "SELECT count(*) FROM effects WHERE times = 1")
	if n := <-batches; n < 2 { // the last ones may still have been on their way
		t.Errorf("%d of 10 events were handled in the first transaction", n)
	}
}

// Nothing lingers for longer than is set, nor keeps a process that is to stop.
func TestNothingLingersForLong(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Linger = 30 * time.Millisecond
	stop := s.runConsumer(t, events.NewConsumer(s.listener, s.bus, []events.Handler{events.OnBatch(insertAll).Linger()}, s.cfg, s.log))
	s.tell(t)
	s.publish(t.Context(), t, "one")
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE times = 1")
	stop()

	s.cfg.Linger = time.Hour
	stop = s.runConsumer(t, events.NewConsumer(s.listener, s.bus, []events.Handler{events.OnBatch(insertAll).Linger()}, s.cfg, s.log))
	s.publish(t.Context(), t, "two")
	time.Sleep(50 * time.Millisecond) // it has arrived, and lingers
	stop()
}
