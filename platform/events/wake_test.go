package events_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// bell is somebody who is woken.
type bell chan struct{}

func (b bell) Wake() { b <- struct{}{} }

// Whoever is woken finds what the effect left to do: after the commit, also when it took a retry.
func TestAnEffectWakes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	rung, tries := make(bell, 10), 0
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if tries++; h.Thing == "second" && tries == 2 {
			return errors.New("not yet")
		}
		return count(ctx, tx, h)
	}).Wakes(rung)
	s.runConsumer(t, events.NewConsumer(s.listener, s.bus, []events.Handler{handler}, s.cfg, s.log))
	s.tell(t)
	for _, thing := range []string{"first", "second"} {
		s.publish(t.Context(), t, thing)
		for found := false; !found; {
			select {
			case <-rung:
			case <-time.After(20 * time.Second):
				t.Fatalf("nobody was woken for the %s", thing)
			}
			if err := s.listener.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM effects WHERE thing = $1)", thing).Scan(&found); err != nil {
				t.Fatal(err)
			}
		}
	}
}
