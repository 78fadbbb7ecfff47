package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/load"
)

// tellEnds has PostgreSQL tell of every order that has ended, in the moment in which that is committed. Looking for it again and again would
// come late, and use up a good part of the machine that is measured.
const tellEnds = `
	CREATE FUNCTION orders.tell_end() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_notify('ended', NEW.id || ' ' || NEW.status);
		RETURN NULL;
	END $$;
	CREATE TRIGGER tell_end AFTER UPDATE OF status ON orders.orders
		FOR EACH ROW WHEN (NEW.status IN ('confirmed', 'cancelled')) EXECUTE FUNCTION orders.tell_end()`

// watch sees orders through.
type watch struct {
	slots chan struct{} // nil without a limit

	mu        sync.Mutex
	due       map[string]time.Time // of the orders that have not ended
	ended     map[string]end       // whose POST has not been answered
	confirmed []journey
	cancelled int
}

// end is how an order ended, and when that was heard.
type end struct {
	status string
	heard  time.Time
}

// journey is when an order was due, and when it was heard to be confirmed.
type journey struct{ due, heard time.Time }

// patience is how long a run waits for its last orders.
const patience = 2 * time.Minute

// admit waits for a slot, if there is a limit. Nobody is admitted once ctx has ended, nor after a time in which no order ended.
func (w *watch) admit(ctx context.Context) bool {
	if w.slots == nil {
		return ctx.Err() == nil
	}
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

// placed begins with an order whose POST has been answered. It may have ended before that.
func (w *watch) placed(o load.Order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due[o.ID] = o.Due
	if e, ok := w.ended[o.ID]; ok {
		w.finish(o.ID, e)
	}
}

// heard takes what tellEnds tells.
func (w *watch) heard(payload string, at time.Time) {
	id, status, _ := strings.Cut(payload, " ")
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.due[id]; !ok {
		w.ended[id] = end{status, at}
		return
	}
	w.finish(id, end{status, at})
}

// finish is done with an order that has been placed and has ended. The caller holds the lock.
func (w *watch) finish(id string, e end) {
	if e.status == "confirmed" {
		w.confirmed = append(w.confirmed, journey{w.due[id], e.heard})
	} else {
		w.cancelled++
	}
	delete(w.due, id)
	delete(w.ended, id)
	w.release()
}

// listen hears the ends of orders until ctx ends.
func (w *watch) listen(ctx context.Context, conn *pgx.Conn) error {
	for ctx.Err() == nil {
		n, err := conn.WaitForNotification(ctx)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("hear of the ends of orders: %w", err)
		}
		if n != nil {
			w.heard(n.Payload, time.Now())
		}
	}
	return nil
}

// wait returns when every order that was placed has ended, or when ctx has.
func (w *watch) wait(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		left := len(w.due)
		w.mu.Unlock()
		switch {
		case left == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d orders have not ended within %s", left, patience)
		}
	}
	return ctx.Err()
}

// watching listens while run places orders, and until all of them have ended. Both end when nothing can be heard any more.
func (s *shop) watching(ctx context.Context, w *watch, run func(ctx context.Context) error) error {
	conn, err := pgx.Connect(ctx, s.AdminURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN ended"); err != nil {
		return err
	}
	w.due, w.ended = map[string]time.Time{}, map[string]end{}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	listened := make(chan error, 1)
	go func() { listened <- w.listen(ctx, conn); stop() }()
	if err = run(ctx); err == nil {
		err = w.wait(ctx)
	}
	stop()
	return errors.Join(err, <-listened)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	w := &watch{slots: make(chan struct{}, 3), due: map[string]time.Time{}, ended: map[string]end{}}
	for range 3 {
		w.admit(t.Context())
	}
	began := time.Now()
	w.placed(load.Order{ID: "slow", Due: began})
	w.heard("fast confirmed", began.Add(time.Second)) // before its POST was answered
	w.heard("slow confirmed", began.Add(2*time.Second))
	w.placed(load.Order{ID: "fast", Due: began})
	w.placed(load.Order{ID: "short", Due: began})
	w.heard("short cancelled", began.Add(time.Second))
	if err := w.wait(t.Context()); err != nil || len(w.confirmed) != 2 || w.cancelled != 1 || len(w.slots) != 0 || len(w.ended) != 0 {
		t.Errorf("%v, %+v", err, w)
	}
	for i, want := range []time.Duration{2 * time.Second, time.Second} {
		if j := w.confirmed[i]; j.heard.Sub(j.due) != want {
			t.Errorf("order %d: %s, want %s", i, j.heard.Sub(j.due), want)
		}
	}
}
