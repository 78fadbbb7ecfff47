package events_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// Events that are twice in a batch, or were handled earlier, are skipped, and the others are still
// one call.
func TestDuplicatesInBatches(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	earlier, fresh := messageOf(t, happened{"earlier"}, nil), messageOf(t, happened{"fresh"}, nil)
	twice := messageOf(t, happened{"twice"}, nil)
	acknowledged, stop := s.batch(t, []events.Handler{events.OnBatch(insertAll)}, earlier)
	mustBeAcknowledged(t, acknowledged)
	stop()
	s.bus.MemoryBus = events.NewMemoryBus() // without the consumer that has stopped
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
	expect(t, s.subscriber, 3, "SELECT count(*) FROM effects WHERE times = 1")
	expect(t, s.subscriber, 3+2, "SELECT count(*) FROM inbox") // and the gates
	expect(t, s.subscriber, 0, "SELECT count(*) FROM failed")
}

// A failed event is handled by the retries, however often the bus delivers it, alone or in a batch.
func TestAnEventThatHasFailedIsLeftToTheRetries(t *testing.T) {
	t.Parallel()
	for name, alone := range map[string]bool{"alone": true, "in a batch": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			var logged logBuffer
			s.log = slog.New(slog.NewTextHandler(&logged, nil))
			failed, other := messageOf(t, happened{"failed"}, nil), messageOf(t, happened{"other"}, nil)
			_, err := s.subscriber.Exec(t.Context(),
				`INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at)
				VALUES ($1, 'publisher.happened.v1', $2, '{"type":"publisher.happened.v1"}', 2, 'it was broken',
				now() + interval '1h')`, failed.UUID, []byte(failed.Payload))
			if err != nil {
				t.Fatal(err)
			}
			messages := []*message.Message{failed, other, failed.Copy()}
			if alone {
				messages = messages[:1]
			}
			acknowledged, _ := s.batch(t, []events.Handler{events.OnBatch(insertAll)}, messages...)
			mustBeAcknowledged(t, acknowledged)
			expect(t, s.subscriber, int64(len(messages)/2), "SELECT count(*) FROM effects WHERE thing = 'other'")
			expect(t, s.subscriber, 0, "SELECT count(*) FROM effects WHERE thing = 'failed'")
			expect(t, s.subscriber, 1,
				"SELECT count(*) FROM failed WHERE attempts = 2 AND reason = 'it was broken' AND dead_at IS NULL")
			if n := logged.count("event failed"); n > 0 {
				t.Errorf("%d attempts are logged", n)
			}
			// It becomes due.
			if _, err := s.subscriber.Exec(t.Context(), "UPDATE failed SET next_at = now()"); err != nil {
				t.Fatal(err)
			}
			eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'failed' AND times = 1")
			eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
		})
	}
}
