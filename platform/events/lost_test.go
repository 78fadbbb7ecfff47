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

// cut breaks the connection under the handler, as a failing network does: PostgreSQL says nothing
// any more.
func cut(ctx context.Context, tx pgx.Tx) error {
	if err := tx.Conn().PgConn().Conn().Close(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "SELECT 1")
	return fmt.Errorf("ask: %w", err)
}

// With one attempt, whatever counted as one would be a dead letter.
func TestALostConnectionIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(context.Context, pgx.Tx) error{
		"network":               cut,
		"hidden by the handler": func(ctx context.Context, tx pgx.Tx) error { _ = cut(ctx, tx); return errors.New("no stock") },
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
			s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
				if times.Add(1) <= 12 { // longer than it is tried at once, so the bus delivers it again
					return lose(ctx, tx)
				}
				return count(ctx, tx, h)
			})
			s.tell(t)
			s.publish(t.Context(), t, "thing")
			eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE times = 1")
			eventually(t, s.listener, 0, "SELECT count(*) FROM failed")
		})
	}
}

// The retries of one event lose their connection for ever. It stays as it was, and those behind it
// have their turn.
func TestARetryThatLosesItsConnectionHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	healed := make(chan struct{})
	var tried sync.Map
	s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
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
	s.tell(t)
	s.publish(t.Context(), t, "first")
	eventually(t, s.listener, 1, "SELECT count(*) FROM failed WHERE reason LIKE '%no connection%'")
	for i := range 10 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	eventually(t, s.listener, 10, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.listener, 1, "SELECT count(*) FROM failed WHERE attempts = 1 AND dead_at IS NULL")
	close(healed)
	eventually(t, s.listener, 11, "SELECT count(*) FROM effects WHERE times = 1")
}

// Together the events take twice the limit, one by one a tenth of it.
func TestASlowBatchFallsApart(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	consumer := events.NewConsumer(s.listener, s.bus, []events.Handler{events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if _, err := tx.Exec(ctx, "SELECT pg_sleep(0.1)"); err != nil {
			return err
		}
		return count(ctx, tx, h)
	})}, s.cfg, s.log)
	consumer.SetTxLimit(time.Second)
	s.runConsumer(t, consumer)
	s.tell(t)
	var things []string
	for i := range 20 {
		things = append(things, fmt.Sprint(i))
	}
	s.publish(t.Context(), t, things...)
	eventually(t, s.listener, 20, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.listener, 0, "SELECT count(*) FROM failed")
}

// A handler that never ends in time is at fault: its event may not come back from the bus for ever.
func TestAHandlerThatIsTooSlowFails(t *testing.T) {
	t.Parallel()
	for name, dawdle := range map[string]func(context.Context, pgx.Tx) error{
		"in a statement": func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT 1"); err != nil { // as long as nothing has been answered, the database may be away
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
			consumer := events.NewConsumer(s.listener, s.bus, []events.Handler{events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
				if h.Thing == "slow" {
					return dawdle(ctx, tx)
				}
				return count(ctx, tx, h)
			})}, s.cfg, s.log)
			consumer.SetTxLimit(500 * time.Millisecond)
			s.runConsumer(t, consumer)
			s.tell(t)
			s.publish(t.Context(), t, "before", "slow", "after")
			eventually(t, s.listener, 2, "SELECT count(*) FROM effects WHERE times = 1")
			eventually(t, s.listener, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%too long%'")
		})
	}
}

// A handler's first statement travels with what the consumer itself sends, and PostgreSQL ends it
// before the transaction's limit.
func TestAFirstStatementThatIsTooSlowFails(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	cfg := s.listener.Config()
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
	listener := &postgres.DB{Pool: pool, Module: "listener"}
	s.runConsumer(t, events.NewConsumer(listener, s.bus, []events.Handler{events.On(slow)}, s.cfg, s.log))
	s.tell(t)
	s.publish(t.Context(), t, "before", "slow", "after")
	eventually(t, s.listener, 2, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.listener, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND attempts = 3 AND reason LIKE '%statement timeout%'")
}
