package bench

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/lab/load"
)

// playLoad makes this program the load: it places orders, and measures how long each takes. It is a
// process of its own, so that its cost is measured apart from the shop's.
const playLoad = "load"

// work is what the load is to do. The plan's Admit does not get there.
type work struct {
	load.Plan
	Follow   string // the URL of the database in which each order is followed to its end; "" when its answer is the end
	UnderWay int    // how many orders may be placed and not ended at the same time; 0 without a limit
}

// outcome is what came of it. Times of day count from when it began.
type outcome struct {
	Took      time.Duration
	Answered  load.Times // POSTs, with 201
	Confirmed []journey
	Cancelled int
	Refused   []string
}

// journey is when an order was due, and when it was confirmed.
type journey struct{ Due, Confirmed time.Duration }

// load does the work in a process of its own, and returns for how many seconds that kept a core
// busy, too.
func (s *shop) load(t *testing.T, w work) (o outcome, busy float64) {
	t.Helper()
	var order bytes.Buffer
	if err := gob.NewEncoder(&order).Encode(w); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	// GOGC of its own: it is not part of the shop, and a good load is a small one.
	cmd.Env = append(os.Environ(), playing+"="+playLoad, "GOGC=400")
	cmd.Stdin, cmd.Stderr = &order, t.Output()
	answer, err := cmd.Output()
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(answer)).Decode(&o)
	}
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if n := len(o.Refused); n > 0 {
		t.Logf("%d orders were refused, the first of them: %s", n, o.Refused[0])
	}
	return o, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// runLoad is the load's process.
func runLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	var w work
	if err := gob.NewDecoder(in).Decode(&w); err != nil {
		return err
	}
	o, err := w.run(ctx)
	if err != nil {
		return err
	}
	return gob.NewEncoder(out).Encode(o)
}

func (w work) run(ctx context.Context) (o outcome, err error) {
	began := time.Now()
	watch := newWatch(w.UnderWay)
	place := func(ctx context.Context) error {
		w.Admit = func() bool { return watch.admit(ctx) }
		return w.Run(ctx, func(order load.Order) {
			if order.Err != nil {
				o.Refused = append(o.Refused, order.Err.Error())
				watch.release()
				return
			}
			o.Answered = append(o.Answered, order.Took)
			if w.Follow != "" {
				watch.placed(order)
			}
		})
	}
	if w.Follow == "" {
		err = place(ctx)
	} else {
		err = watch.during(ctx, w.Follow, place)
	}
	for _, e := range watch.confirmed {
		o.Confirmed = append(o.Confirmed, journey{e.due.Sub(began), e.at.Sub(began)})
	}
	o.Took, o.Cancelled = time.Since(began), watch.cancelled
	return o, err
}

// notifyEnds has PostgreSQL notify of every order that has ended, in the moment in which that is
// committed. To ask for it again and again would come late, and use up a good part of the machine
// that is measured.
const notifyEnds = `
	CREATE FUNCTION orders.notify_end() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_notify('ended', NEW.id || ' ' || NEW.status);
		RETURN NULL;
	END $$;
	CREATE TRIGGER notify_end AFTER UPDATE OF status ON orders.orders
		FOR EACH ROW WHEN (NEW.status IN ('confirmed', 'cancelled')) EXECUTE FUNCTION orders.notify_end()`

// watch follows orders to their end.
type watch struct {
	slots chan struct{} // nil without a limit

	mu        sync.Mutex
	due       map[string]time.Time // of the orders that have not ended
	ended     map[string]end       // before their POST was answered
	confirmed []end
	cancelled int
}

// end is how an order ended, and when.
type end struct {
	status  string
	due, at time.Time
}

func newWatch(underWay int) *watch {
	w := &watch{due: map[string]time.Time{}, ended: map[string]end{}}
	if underWay > 0 {
		w.slots = make(chan struct{}, underWay)
	}
	return w
}

// patience is how long a run waits for its last orders.
const patience = 5 * time.Minute

// admit waits for a slot, if there is a limit. It is false once ctx has ended, and after a time in
// which no order ended.
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

// notified takes a notification of notifyEnds.
func (w *watch) notified(payload string, at time.Time) {
	id, status, _ := strings.Cut(payload, " ")
	e := end{status: status, at: at}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.due[id]; !ok {
		w.ended[id] = e
		return
	}
	w.finish(id, e)
}

// finish is done with an order that has been placed and has ended. The caller holds the lock.
func (w *watch) finish(id string, e end) {
	if e.status == "confirmed" {
		e.due = w.due[id]
		w.confirmed = append(w.confirmed, e)
	} else {
		w.cancelled++
	}
	delete(w.due, id)
	delete(w.ended, id)
	w.release()
}

// listen takes notifications until ctx ends.
func (w *watch) listen(ctx context.Context, conn *pgx.Conn) error {
	for ctx.Err() == nil {
		n, err := conn.WaitForNotification(ctx)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("wait for the ends of orders: %w", err)
		}
		if n != nil {
			w.notified(n.Payload, time.Now())
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

// during listens while place places orders, and until all of them have ended. Both end when nothing
// can be received any more.
func (w *watch) during(ctx context.Context, url string, place func(ctx context.Context) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN ended"); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	listened := make(chan error, 1)
	go func() { listened <- w.listen(ctx, conn); stop() }()
	if err = place(ctx); err == nil {
		err = w.wait(ctx)
	}
	stop()
	return errors.Join(err, <-listened)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWatch(3)
	for range 3 {
		w.admit(t.Context())
	}
	began := time.Now()
	w.placed(load.Order{ID: "slow", Due: began})
	w.notified("fast confirmed", began.Add(time.Second)) // before its POST was answered
	w.notified("slow confirmed", began.Add(2*time.Second))
	w.placed(load.Order{ID: "fast", Due: began})
	w.placed(load.Order{ID: "short", Due: began})
	w.notified("short cancelled", began.Add(time.Second))
	if err := w.wait(t.Context()); err != nil {
		t.Error(err)
	}
	if len(w.confirmed) != 2 || w.cancelled != 1 || len(w.slots) != 0 || len(w.ended) != 0 {
		t.Errorf("%+v", w)
	}
	for i, want := range []time.Duration{2 * time.Second, time.Second} {
		if e := w.confirmed[i]; e.at.Sub(e.due) != want {
			t.Errorf("order %d: %s, want %s", i, e.at.Sub(e.due), want)
		}
	}
}
