package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"example.com/shop/lab/load"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// delivery measures from commit to handler start.
func (b *bench) delivery(t *testing.T) section {
	t.Helper()
	b.say("From commit to handler start …")
	s := section{title: "From commit to handler start", how: "In one process: from the moment at which a transaction that published has " +
		"committed, as the caller learns it, to the first line of the handler; a commit that is delivered before that counts " +
		"as 0. Ours: outbox, relay, memory bus, consumer. Beside it the stock path: watermill's forwarder over watermill-sql, " +
		"a subscriber that polls every " + stockPoll.String() + " and not, as by default, every second, and one transaction per event."}
	for _, perSecond := range []int{100, 1000} {
		w := b.newWire(t, "delivery", 1)
		ours, stock := w.deliver(t, w.ours(), perSecond), w.deliver(t, w.stock(), perSecond)
		w.drop(t)
		s.rows = append(s.rows, row{what: fmt.Sprintf("%d events/s", perSecond), unit: "ms", ours: ms(ours),
			beside: "stock path", reference: ms(stock)}.within(2).andP99(15))
	}
	return s
}

// deliver commits so many events a second, each in a transaction of its own, whatever the delivery
// does meanwhile.
func (w *wire) deliver(t *testing.T, by way, perSecond int) (times load.Times) {
	t.Helper()
	n := max(w.bench.delivered, int(w.bench.deliverFor.Seconds()*float64(perSecond)))
	h := newHandled(n * len(w.subscribers))
	defer by.carry(t, h.handler)()
	published, committed := make([]ordersapi.Placed, n), make([]time.Time, n)
	var publishing errgroup.Group
	began := time.Now()
	for i := range n {
		time.Sleep(time.Duration(i)*time.Second/time.Duration(perSecond) - time.Since(began))
		publishing.Go(func() (err error) {
			published[i] = placedEvent()
			committed[i], err = by.publish(t, published[i])
			return err
		})
	}
	if err := publishing.Wait(); err != nil {
		t.Fatal(err)
	}
	h.wait(t)
	for i, e := range published {
		var last time.Time
		for subscriber := range w.subscribers {
			if at := h.began[handling{subscriber, e.OrderID}]; at.After(last) {
				last = at
			}
		}
		times = append(times, max(0, last.Sub(committed[i]))) // a relay may see a commit before its own client does
	}
	return times
}

// handled is when each subscriber began with each event. A batch that failed is begun again: what
// counts is the first time.
type handled struct {
	want  int
	all   chan struct{} // closed when there are so many
	mu    sync.Mutex
	began map[handling]time.Time
}

type handling struct {
	subscriber int
	event      string
}

func newHandled(want int) *handled {
	return &handled{want: want, all: make(chan struct{}), began: make(map[handling]time.Time, want)}
}

func (h *handled) note(subscriber int, event string) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, again := h.began[handling{subscriber, event}]; again {
		return
	}
	h.began[handling{subscriber, event}] = now
	if len(h.began) == h.want {
		close(h.all)
	}
}

// handler has no effect but to note.
func (h *handled) handler(subscriber int) events.Handler {
	return events.On(func(_ context.Context, _ pgx.Tx, e ordersapi.Placed) error {
		h.note(subscriber, e.OrderID)
		return nil
	})
}

// wait fails the run when an event is not handled.
func (h *handled) wait(t *testing.T) {
	t.Helper()
	select {
	case <-h.all:
	case <-time.After(patience):
		h.mu.Lock()
		defer h.mu.Unlock()
		t.Fatalf("%d of %d events were handled within %s", len(h.began), h.want, patience)
	}
}

func TestHandled(t *testing.T) {
	t.Parallel()
	h := newHandled(3)
	h.note(0, "first")
	h.note(1, "first")
	first := h.began[handling{0, "first"}]
	h.note(0, "first")
	if h.began[handling{0, "first"}] != first {
		t.Error("the second time counts")
	}
	select {
	case <-h.all:
		t.Error("what was handled twice counts twice")
	default:
	}
	h.note(0, "second")
	h.wait(t)
}
