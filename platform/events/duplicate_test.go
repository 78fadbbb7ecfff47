package events_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// Events that are in a batch twice, or were handled in an earlier one, are left out, and the others
// are one call all the same.
func TestDuplicatesInBatches(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	earlier, fresh := messageOf(t, happened{"earlier"}, nil), messageOf(t, happened{"fresh"}, nil)
	twice := messageOf(t, happened{"twice"}, nil)
	acknowledged, stop := s.batch(t, []events.Handler{events.OnBatch(insertAll)}, earlier)
	mustBeAcknowledged(t, acknowledged)
	stop()
	s.bus.MemoryBus = events.NewMemoryBus() // for the consumer that has stopped is gone
	var last int
	counted := events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[happened]) error {
		last = len(batch)
		return insertAll(ctx, tx, batch)
	})
	acknowledged, stop = s.batch(t, []events.Handler{counted}, earlier, twice, fresh, twice.Copy(), earlier.Copy())
	mustBeAcknowledged(t, acknowledged)
	stop()
	if last != 2 {
		t.Errorf("the last call had %d events, want 2", last)
	}
	expect(t, s.listener, 3, "SELECT count(*) FROM effects WHERE times = 1")
	expect(t, s.listener, 3+2, "SELECT count(*) FROM inbox") // and the gates
	expect(t, s.listener, 0, "SELECT count(*) FROM failed")
}

// An event that has failed is the retries', however often and in whatever company the bus delivers
// it.
func TestAnEventThatHasFailedIsLeftToTheRetries(t *testing.T) {
	t.Parallel()
	for name, alone := range map[string]bool{"alone": true, "in a batch": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			var logged logBuffer
			s.log = slog.New(slog.NewTextHandler(&logged, nil))
			failed, other := messageOf(t, happened{"failed"}, nil), messageOf(t, happened{"other"}, nil)
			_, err := s.listener.Exec(t.Context(), `INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at)
				VALUES ($1, 'teller.happened.v1', $2, '{"type":"teller.happened.v1"}', 2, 'it was broken', now() + interval '1h')`, failed.UUID, []byte(failed.Payload))
			if err != nil {
				t.Fatal(err)
			}
			messages := []*message.Message{failed, other, failed.Copy()}
			if alone {
				messages = messages[:1]
			}
			acknowledged, _ := s.batch(t, []events.Handler{events.OnBatch(insertAll)}, messages...)
			mustBeAcknowledged(t, acknowledged)
			expect(t, s.listener, int64(len(messages)/2), "SELECT count(*) FROM effects WHERE thing = 'other'")
			expect(t, s.listener, 0, "SELECT count(*) FROM effects WHERE thing = 'failed'")
			expect(t, s.listener, 1, "SELECT count(*) FROM failed WHERE attempts = 2 AND reason = 'it was broken' AND dead_at IS NULL")
			if n := logged.count("event failed"); n > 0 {
				t.Errorf("%d attempts are logged", n)
			}
			// Its time has come.
			if _, err := s.listener.Exec(t.Context(), "UPDATE failed SET next_at = now()"); err != nil {
				t.Fatal(err)
			}
			eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'failed' AND times = 1")
			eventually(t, s.listener, 0, "SELECT count(*) FROM failed")
		})
	}
}
