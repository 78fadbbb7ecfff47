package events_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

// cut breaks the connection under the handler, as a failing network does, without an error from
// PostgreSQL.
func cut(ctx context.Context, tx pgx.Tx) error {
	if err := tx.Conn().PgConn().Conn().Close(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "SELECT 1")
	return fmt.Errorf("ask: %w", err)
}

// One event always loses its connection. It is left to the retries, or its topic would wait each
// time that the bus redelivers it. They count no attempt, and it holds up none of the others, which
// fail once each.
func TestALostConnectionIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(context.Context, pgx.Tx) error{
		"network": cut,
		"hidden by the handler": func(ctx context.Context, tx pgx.Tx) error {
			_ = cut(ctx, tx)
			return errors.New("no room")
		},
		"terminated": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			healed := make(chan struct{})
			var tried sync.Map
			s.subscribe(func(ctx context.Context, tx pgx.Tx, h happened) error {
				if _, again := tried.LoadOrStore(h.Thing, true); !again && h.Thing != "lost" {
					return errors.New("it is broken")
				}
				select {
				case <-healed:
				default:
					if h.Thing == "lost" {
						return lose(ctx, tx)
					}
				}
				return eventtest.Count(ctx, tx, h)
			})
			s.runOutbox()
			s.publish("lost")
			s.Eventually(s.Subscriber, 1, "SELECT count(*) FROM failed WHERE attempts = 0")
			s.Drained()
			for _, thing := range eventtest.Things(1, 10) {
				s.publish(thing)
			}
			s.Applied(10)
			s.Expect(s.Subscriber, 1, "SELECT count(*) FROM failed WHERE attempts = 0 AND dead_at IS NULL")
			close(healed)
			s.Applied(11)
			s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
		})
	}
}

// A handler that always exceeds its time fails, or its event would be redelivered forever. A batch
// that takes too long is split into events that do not.
func TestTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		slow   func(context.Context, pgx.Tx) error
		things []string
		dead   string // the reason of the one that is called slow
		role   string // the role's statement_timeout
	}{
		"a batch": { // of twice the limit, one by one a tenth of it
			things: eventtest.Things(1, 20),
		},
		"in a statement": {
			slow: func(ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "SELECT 1"); err != nil { // before an answer, the database may be down
					return err
				}
				_, err := tx.Exec(ctx, "SELECT pg_sleep(9)")
				return err
			},
			dead: "too long",
		},
		"and says it went well": {
			slow: func(ctx context.Context, _ pgx.Tx) error { <-ctx.Done(); return nil },
			dead: "too long",
		},
		"in its first statement": { // sent with the consumer's own, and cancelled before the limit
			slow: func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "SELECT pg_sleep(9)")
				return err
			},
			dead: "statement timeout", role: "300",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			if test.role != "" {
				s.Subscriber = pgtest.Again(t, s.Subscriber, func(cfg *pgxpool.Config) {
					cfg.ConnConfig.RuntimeParams["statement_timeout"] = test.role
				})
			}
			consumer := s.consumer(events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
				if h.Thing == "slow" {
					return test.slow(ctx, tx)
				}
				if _, err := tx.Exec(ctx, "SELECT pg_sleep(0.05)"); err != nil {
					return err
				}
				return eventtest.Count(ctx, tx, h)
			}))
			consumer.SetTxLimit(500 * time.Millisecond)
			s.Consume(consumer)
			s.runOutbox()
			if test.dead == "" {
				s.publish(test.things...)
				s.Applied(len(test.things))
				s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
				return
			}
			s.publish("before", "slow", "after")
			s.Applied(2)
			s.Eventually(s.Subscriber, 1, `SELECT count(*) FROM failed
				WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%`+test.dead+`%'`)
		})
	}
}
