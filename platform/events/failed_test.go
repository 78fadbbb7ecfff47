package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/output"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

// It becomes a dead letter, which is logged and can be redriven.
func TestAFailingEventHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context, pgx.Tx) error{
		"error": func(context.Context, pgx.Tx) error { // with a reason that PostgreSQL cannot store as it is
			return errors.New("it is broken\x00\xff" + strings.Repeat("é", 2000))
		},
		"panic": func(context.Context, pgx.Tx) error { panic("it is broken") },
		"bad statement": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1/0 -- it is broken")
			return fmt.Errorf("it is broken: %w", err)
		},
		"slow statement": func(ctx context.Context, tx pgx.Tx) error { // which the role's statement_timeout ends
			if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '20ms'"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "SELECT pg_sleep(9)")
			return fmt.Errorf("it is broken: %w", err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			log := &output.Text{}
			s.Log = slog.New(slog.NewTextHandler(log, nil))
			healed := make(chan struct{})
			s.subscribe(func(ctx context.Context, tx pgx.Tx, h happened) error {
				if err := eventtest.Count(ctx, tx, h); err != nil || h.Thing != "poison" {
					return err
				}
				select {
				case <-healed:
					return nil
				default:
					return fail(ctx, tx)
				}
			})
			s.runOutbox()
			s.publish("before", "poison", "after")
			s.Applied(2)
			s.Eventually(s.Subscriber, 1,
				"SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%is broken%'")
			pgtest.Until(t, "it is logged", func() bool {
				return strings.Count(log.String(), `level=ERROR msg="event is a dead letter"`) == 1 && strings.Count(log.String(), "attempts=3 ") == 1
			})
			s.Drained()
			s.publish("later")
			s.Applied(3)

			close(healed)
			if n, err := events.Redrive(t.Context(), s.Subscriber.Pool()); err != nil || n != 1 {
				t.Fatalf("redrive: %d, %v", n, err)
			}
			s.Applied(4)
			s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
			s.Expect(s.Subscriber, 4, "SELECT count(*) FROM inbox")
		})
	}
}

// An event that is refused for good is a dead letter at once, alone, in a batch, or at a retry, and
// the others of its batch are handled.
func TestAFinalErrorIsNotRetried(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.MaxAttempts = 1000
	forged := messageOf(happened{Thing: "forged"}, "", nil)
	deliver, _ := s.gated(events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
		for _, d := range batch {
			if d.Event.Thing == "forged" {
				return fmt.Errorf("confirm: %w", events.Final(errors.New("another amount than was due")))
			}
		}
		return insertAll(ctx, tx, batch)
	}))
	dead := `SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND reason LIKE '%confirm: another amount than was due' AND attempts = `
	deliver(messageOf(happened{Thing: "a"}, "", nil), forged, messageOf(happened{Thing: "b"}, "", nil))
	s.Applied(2)
	s.Expect(s.Subscriber, 1, dead+"1")
	deliver(messageOf(happened{Thing: "forged"}, "", nil))
	s.Expect(s.Subscriber, 2, dead+"1")

	s.exec(s.Subscriber, "UPDATE failed SET dead_at = NULL, next_at = now() WHERE event_id = $1", forged.UUID)
	s.Eventually(s.Subscriber, 1, dead+"2")
	s.Applied(2)
}

// What cannot be decoded is a dead letter. PostgreSQL stores no zero byte: a handler keeps the
// event's cause, and a failure all its headers.
func TestAnyMessageCanBeKept(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	answers := events.NewOutbox(s.Subscriber, s.bus, s.Config, s.Log)
	s.subscribe(func(ctx context.Context, tx pgx.Tx, h happened) error {
		return answers.PublishTx(ctx, tx, answered{h})
	})
	for _, payload := range []string{`{"thing":`, `{"thing":"fine"}`} {
		m := messageOf(happened{}, "", events.Cause{"actor": "a\x00b", "x\x00y": "\xff", "correlationid": "c"})
		m.Payload = []byte(payload)
		if err := s.bus.Publish(eventtest.Topic, m); err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
	s.Expect(s.Subscriber, 1, "SELECT count(*) FROM outbox WHERE headers->>'actor' = 'ab'")
	s.Eventually(s.Subscriber, 1, `SELECT count(*) FROM failed
		WHERE dead_at IS NOT NULL AND headers->>'actor' = 'ab' AND reason LIKE '%decode%'`)
}

// A failed event is handled by the retries, however often the bus delivers it, alone or in a batch.
func TestAnEventThatHasFailedIsLeftToTheRetries(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	log := &output.Text{}
	s.Log = slog.New(slog.NewTextHandler(log, nil))
	failed := messageOf(happened{Thing: "failed"}, "", nil)
	s.exec(s.Subscriber, `INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at)
		VALUES ($1, 'publisher.happened.v1', $2, '{"type":"publisher.happened.v1"}', 2, 'it was broken',
		now() + interval '1h')`, failed.UUID, []byte(failed.Payload))
	deliver, _ := s.gated(events.OnBatch(insertAll))
	for applied, batch := range [][]*message.Message{
		{failed.Copy()}, {failed.Copy(), messageOf(happened{Thing: "other"}, "", nil), failed.Copy()},
	} {
		deliver(batch...)
		s.Applied(applied)
		s.Expect(s.Subscriber, 0, "SELECT count(*) FROM effects WHERE thing = 'failed'")
		s.Expect(s.Subscriber, 1,
			"SELECT count(*) FROM failed WHERE attempts = 2 AND reason = 'it was broken' AND dead_at IS NULL")
	}
	if n := strings.Count(log.String(), "event failed"); n > 0 {
		t.Errorf("%d attempts are logged", n)
	}
	s.exec(s.Subscriber, "UPDATE failed SET next_at = now()")
	s.Applied(2)
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
}
