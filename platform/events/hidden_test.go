package events_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A handler that ignores its errors neither takes an event for handled that is not, nor for one to
// blame.
func TestAHandlerThatHidesErrors(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	db, heal := s.takeTurn(t, 200*time.Millisecond)
	s.listener, db = db, s.listener
	m := messageOf(t, happened{"one"}, nil)
	s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		_ = count(ctx, tx, h)
		return nil
	})
	if err := s.bus.Publish(happened{}.Topic(), m); err == nil {
		t.Error("the bus believes that the event is handled")
	}
	expect(t, db, 0, "SELECT count(*) FROM failed")
	heal()
	for s.bus.Publish(happened{}.Topic(), m) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	expect(t, db, 1, "SELECT count(*) FROM effects WHERE times = 1")
}
