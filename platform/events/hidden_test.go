package events_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// When a handler ignores its errors, its event is neither handled nor blamed.
func TestAHandlerThatHidesErrors(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	db, heal := s.lockModule(t, 200*time.Millisecond)
	s.subscriber, db = db, s.subscriber
	m := messageOf(t, happened{"one"}, nil)
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		_ = count(ctx, tx, h)
		return nil
	})
	if err := s.bus.Publish(happened{}.Topic(), m); err == nil {
		t.Error("the event is acknowledged")
	}
	expect(t, db, 0, "SELECT count(*) FROM failed")
	heal()
	for s.bus.Publish(happened{}.Topic(), m) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	expect(t, db, 1, "SELECT count(*) FROM effects WHERE times = 1")
}
