package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

func TestAFailingEventHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context, pgx.Tx) error{
		"error": func(context.Context, pgx.Tx) error { return errors.New("it is broken") },
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
			s := newShop(t)
			healed := make(chan struct{})
			s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
				if err := count(ctx, tx, h); err != nil || h.Thing != "poison" {
					return err
				}
				select {
				case <-healed:
					return nil
				default:
					return fail(ctx, tx)
				}
			})
			s.runOutbox(t)
			s.publish(t.Context(), t, "before", "poison", "after")
			eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
			eventually(t, s.subscriber, 1,
				"SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%is broken%'")
			eventually(t, s.publisher, 0, drained)
			s.publish(t.Context(), t, "later")
			eventually(t, s.subscriber, 3, "SELECT count(*) FROM effects WHERE times = 1")

			close(healed)
			if n, err := events.Redrive(t.Context(), s.subscriber.Pool); err != nil || n != 1 {
				t.Fatalf("redrive: %d, %v", n, err)
			}
			eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'poison' AND times = 1")
			eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
			eventually(t, s.subscriber, 4, "SELECT count(*) FROM inbox")
		})
	}
}

func TestWhatCannotBeDecodedIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	bad := message.NewMessage("0198f000-0000-7000-8000-000000000001", []byte(`{"thing":`))
	if err := s.bus.Publish("publisher.happened.v1", bad); err != nil {
		t.Fatal(err)
	}
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND reason LIKE '%decode%'")
}

// PostgreSQL refuses a text with a zero byte or invalid UTF-8; a reason may have both.
func TestAnyReasonCanBeKept(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{
		"zero byte":       "it is broken\x00",
		"invalid bytes":   "it is broken\xff\xfe",
		"cut in mid-rune": "it is broken" + strings.Repeat("é", 2000),
		"one byte on":     "it is broken." + strings.Repeat("é", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.subscribe(t, func(context.Context, pgx.Tx, happened) error { return errors.New(reason) })
			s.runOutbox(t)
			s.publish(t.Context(), t, "poison")
			eventually(t, s.subscriber, 1,
				"SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%is broken%'")
		})
	}
}

// PostgreSQL stores no zero byte: a handler keeps the event's cause, and a failure all its headers.
func TestAnyHeaderCanBeKept(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	answers := events.NewOutbox(s.subscriber, s.bus, s.cfg, s.log)
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "poison" {
			return errors.New("it is broken")
		}
		return answers.PublishTx(ctx, tx, answered{h})
	})
	for _, thing := range []string{"poison", "fine"} {
		m := message.NewMessage(uuid.NewString(), []byte(`{"thing":"`+thing+`"}`))
		m.Metadata = message.Metadata{"actor": "a\x00b", "x\x00y": "\xff", "correlationid": "c"}
		if err := s.bus.Publish(happened{}.Topic(), m); err != nil {
			t.Errorf("%s: %v", thing, err)
		}
	}
	expect(t, s.subscriber, 1, "SELECT count(*) FROM outbox WHERE headers->>'actor' = 'ab'")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND headers->>'actor' = 'ab'")
}

// With MaxAttempts 1 the first failure makes an event a dead letter, by another path than a later
// one.
func TestADeadLetterIsLogged(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.cfg.MaxAttempts = most
			var logged logBuffer
			s.log = slog.New(slog.NewTextHandler(&logged, nil))
			s.subscribe(t, func(context.Context, pgx.Tx, happened) error { return errors.New("it is broken") })
			s.runOutbox(t)
			s.publish(t.Context(), t, "poison")
			line := logged.await(t, `level=ERROR msg="event is a dead letter"`)
			if want := fmt.Sprintf("attempts=%d ", most); !strings.Contains(line, want) {
				t.Errorf("%s in %s", want, line)
			}
		})
	}
}
