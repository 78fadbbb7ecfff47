package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/load"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// delivery measures from commit to handler start.
func (b *bench) delivery(t *testing.T) section {
	t.Helper()
	b.say("From commit to handler start …")
	s := section{title: "From commit to handler start", how: "In one process: from the moment at which a transaction that published has committed to the " +
		"first line of the listener's handler. Ours: outbox, relay, memory bus, consumer. Beside it the stock path: watermill's forwarder over " +
		"watermill-sql, a subscriber that polls every " + stockPoll.String() + " and not, as by default, every second, and one transaction per event."}
	for _, perSecond := range []int{100, 1000} {
		w := b.newWire(t, "delivery", 1)
		ours, stock := w.deliver(t, w.ours(), perSecond), w.deliver(t, w.stock(), perSecond)
		w.drop(t)
		s.rows = append(s.rows, row{what: fmt.Sprintf("%d events/s", perSecond), unit: "ms", ours: ms(ours), beside: "stock path", reference: ms(stock)}.within(2, 15))
	}
	return s
}

// deliver commits so many events a second, each in a transaction of its own, whatever the delivery does meanwhile.
func (w *wire) deliver(t *testing.T, by way, perSecond int) load.Times {
	t.Helper()
	j := &journey{committed: map[string]time.Time{}, started: map[string]time.Time{}}
	stop := by.carry(t, events.On(func(_ context.Context, _ pgx.Tx, e ordersapi.Placed) error {
		j.note(j.started, e)
		j.heard.Add(1)
		return nil
	}))
	defer stop()
	var telling sync.WaitGroup
	began := time.Now()
	for n := 0; ; n++ {
		due := time.Duration(n) * time.Second / time.Duration(perSecond)
		if due >= w.bench.deliverFor {
			break
		}
		time.Sleep(due - time.Since(began))
		telling.Go(func() {
			e := placedEvent()
			if err := by.write(t, e); err != nil {
				t.Error(err)
			}
			j.note(j.committed, e)
		})
	}
	telling.Wait()
	return j.times(t, len(w.listeners))
}

// journey is when each event was committed, and when the last of its handlers started.
type journey struct {
	heard              atomic.Int64
	mu                 sync.Mutex
	committed, started map[string]time.Time
}

func (j *journey) note(when map[string]time.Time, e ordersapi.Placed) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	when[e.OrderID] = now
}

// times waits for the last event.
func (j *journey) times(t *testing.T, listeners int) (times load.Times) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		missing := int64(len(j.committed)*listeners) - j.heard.Load()
		if missing <= 0 { // a batch that failed was begun again
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events were not heard within %s", missing, patience)
		}
	}
	for id, committed := range j.committed {
		times = append(times, max(0, j.started[id].Sub(committed))) // a relay may see a commit before its own client does
	}
	return times
}
