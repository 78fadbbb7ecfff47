package events_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
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

// MaxAttempts is 1, so that a counted attempt would make a dead letter.
func TestALostConnectionIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(context.Context, pgx.Tx) error{
		"network": cut,
		"hidden by the handler": func(ctx context.Context, tx pgx.Tx) error {
			_ = cut(ctx, tx)
			return errors.New("no stock")
		},
		"terminated": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.cfg.MaxAttempts = 1
			var times atomic.Int32
			s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
				if times.Add(1) <= 12 { // more than transientTries, so the retries have it
					return lose(ctx, tx)
				}
				return count(ctx, tx, h)
			})
			s.runOutbox(t)
			s.publish(t.Context(), t, "thing")
			eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE times = 1")
			eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
		})
	}
}

// The bus would redeliver it again and again, and the topic would wait each time.
func TestAnEventThatAlwaysLosesItsConnectionIsLeftToTheRetries(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var healed atomic.Bool
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if !healed.Load() {
			return cut(ctx, tx)
		}
		return count(ctx, tx, h)
	})
	s.runOutbox(t)
	s.publish(t.Context(), t, "thing")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM failed WHERE attempts = 0 AND dead_at IS NULL")
	eventually(t, s.publisher, 0, drained)
	healed.Store(true)
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
}

// The retries of one event always lose their connection. It stays as it is, and others are retried.
func TestARetryThatLosesItsConnectionHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	healed := make(chan struct{})
	var tried sync.Map
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if _, again := tried.LoadOrStore(h.Thing, true); !again {
			return errors.New("it is broken")
		}
		select {
		case <-healed:
		default:
			if h.Thing == "first" {
				return cut(ctx, tx)
			}
		}
		return count(ctx, tx, h)
	})
	s.runOutbox(t)
	s.publish(t.Context(), t, "first")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM failed WHERE reason LIKE '%no connection%'")
	for i := range 10 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	eventually(t, s.subscriber, 10, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM failed WHERE attempts = 1 AND dead_at IS NULL")
	close(healed)
	eventually(t, s.subscriber, 11, "SELECT count(*) FROM effects WHERE times = 1")
}

// Together the events take twice the limit, one by one a tenth of it.
func TestASlowBatchIsSplit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if _, err := tx.Exec(ctx, "SELECT pg_sleep(0.1)"); err != nil {
			return err
		}
		return count(ctx, tx, h)
	})
	consumer := events.NewConsumer(s.subscriber, s.bus, []events.Handler{handler}, s.cfg, s.log)
	consumer.SetTxLimit(time.Second)
	s.runConsumer(t, consumer)
	s.runOutbox(t)
	var things []string
	for i := range 20 {
		things = append(things, fmt.Sprint(i))
	}
	s.publish(t.Context(), t, things...)
	eventually(t, s.subscriber, 20, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.subscriber, 0, "SELECT count(*) FROM failed")
}

// A handler that always exceeds its time fails, or its event would be redelivered forever.
func TestAHandlerThatIsTooSlowFails(t *testing.T) {
	t.Parallel()
	for name, dawdle := range map[string]func(context.Context, pgx.Tx) error{
		"in a statement": func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT 1"); err != nil { // before an answer, the database may be down
				return err
			}
			_, err := tx.Exec(ctx, "SELECT pg_sleep(9)")
			return err
		},
		"and says it went well": func(ctx context.Context, _ pgx.Tx) error { <-ctx.Done(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
				if h.Thing == "slow" {
					return dawdle(ctx, tx)
				}
				return count(ctx, tx, h)
			})
			consumer := events.NewConsumer(s.subscriber, s.bus, []events.Handler{handler}, s.cfg, s.log)
			consumer.SetTxLimit(500 * time.Millisecond)
			s.runConsumer(t, consumer)
			s.runOutbox(t)
			s.publish(t.Context(), t, "before", "slow", "after")
			eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
			eventually(t, s.subscriber, 1,
				"SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%too long%'")
		})
	}
}

// A handler's first statement is sent with the consumer's own, and PostgreSQL cancels it before the
// transaction's limit.
func TestAFirstStatementThatIsTooSlowFails(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	cfg := s.subscriber.Config()
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = "300"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	slow := func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "slow" {
			_, err := tx.Exec(ctx, "SELECT pg_sleep(9)")
			return err
		}
		return count(ctx, tx, h)
	}
	subscriber := &postgres.DB{Pool: pool, Module: "subscriber"}
	s.runConsumer(t, events.NewConsumer(subscriber, s.bus, []events.Handler{events.On(slow)}, s.cfg, s.log))
	s.runOutbox(t)
	s.publish(t.Context(), t, "before", "slow", "after")
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.subscriber, 1,
		"SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%statement timeout%'")
}
