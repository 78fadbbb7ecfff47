package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/load"
)

// watch sees orders through. A look for many orders takes longer than one for few, so the pause grows with it: a shop in which many are under
// way is not looked at with more of the machine than another.
type watch struct {
	slots chan struct{} // nil without a limit
	every time.Duration // the shortest pause between two looks

	mu        sync.Mutex
	pending   map[string]time.Time // when each order was due
	confirmed []journey
	cancelled int
}

// journey is when an order was due, and when it was seen to be confirmed.
type journey struct{ due, seen time.Time }

// patience is how long a run waits for its last orders.
const patience = 2 * time.Minute

// admit waits for a slot.
func (w *watch) admit(ctx context.Context) bool {
	select {
	case w.slots <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-time.After(patience):
	}
	return false
}

func (w *watch) release() {
	if w.slots != nil {
		<-w.slots
	}
}

func (w *watch) add(o load.Order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[o.ID] = o.Due
}

// run asks until enough is closed and nothing is pending any more.
func (w *watch) run(ctx context.Context, db *pgxpool.Pool, enough <-chan struct{}) error {
	var deadline time.Time
	for {
		ids := w.ids()
		select {
		case <-enough:
			if deadline.IsZero() {
				deadline = time.Now().Add(patience)
			}
			if len(ids) == 0 {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%d orders have not ended within %s", len(ids), patience)
			}
		default:
		}
		began := time.Now()
		if len(ids) > 0 {
			if err := w.ask(ctx, db, ids); err != nil {
				return err
			}
		}
		time.Sleep(max(w.every, 4*time.Since(began)))
	}
}

func (w *watch) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, 0, len(w.pending))
	for id := range w.pending {
		ids = append(ids, id)
	}
	return ids
}

func (w *watch) ask(ctx context.Context, db *pgxpool.Pool, ids []string) error {
	rows, err := db.Query(ctx, `SELECT id::text, status FROM orders.orders
		WHERE id = ANY ($1::uuid[]) AND status IN ('confirmed', 'cancelled')`, ids)
	if err != nil {
		return err
	}
	type ended struct{ ID, Status string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ended])
	if err != nil {
		return err
	}
	now := time.Now() // they were visible before that
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range all {
		if o.Status == "confirmed" {
			w.confirmed = append(w.confirmed, journey{due: w.pending[o.ID], seen: now})
		} else {
			w.cancelled++
		}
		delete(w.pending, o.ID)
		w.release()
	}
	return nil
}
