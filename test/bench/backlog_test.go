package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// backlog measures how fast what waits is delivered.
func (b *bench) backlog(t *testing.T) section {
	t.Helper()
	b.say("A backlog …")
	n := b.drained
	s := section{title: "A backlog", how: fmt.Sprintf("Drained: %d events wait in the outbox of orders; from the start of the delivery until the listener has handled the "+
		"last (its handler inserts a row). Beside it the stock path as above, with a tenth of the events. Told: the same outbox, but to a memory bus whose one listener "+
		"acknowledges at once, so that only the relay is measured; beside it watermill's forwarder, from watermill-sql to the same bus. Heard: "+
		"the consumer is given as many events as fast as it takes them; beside it the same consumer with one event in a transaction, given a tenth.", n)}
	w := b.newWire(t, "backlog", 1)
	defer w.drop(t)
	s.rows = append(s.rows,
		row{what: "drained", unit: "events/s", ours: rate(w.drain(t, w.ours(), n)), beside: "stock path", reference: rate(w.drain(t, w.stock(), n/10))}.least(5),
		row{what: "told", unit: "events/s", ours: rate(w.tell(t, n)), beside: "forwarder", reference: rate(w.tellStock(t, n))},
		row{what: "heard", unit: "events/s", ours: rate(w.hear(t, n, w.cfg.ConsumerBatch)), beside: "one transaction per event", reference: rate(w.hear(t, n/10, 1))}.least(10))
	return s
}

// counter counts to n.
type counter struct {
	n     int64
	heard atomic.Int64
	all   chan struct{} // closed then
}

func newCounter(n int) *counter { return &counter{n: int64(n), all: make(chan struct{})} }

func (c *counter) add() {
	if c.heard.Add(1) == c.n {
		close(c.all)
	}
}

// handler has the effect that notifications' own has.
func (c *counter) handler() events.Handler {
	return events.On(func(ctx context.Context, tx pgx.Tx, e ordersapi.Placed) error {
		_, err := tx.Exec(ctx, `INSERT INTO recipients (order_id, email, created_at) VALUES ($1, $2, now())
			ON CONFLICT (order_id) DO NOTHING`, e.OrderID, e.Email)
		c.add()
		return err
	})
}

// perSecond waits until all are counted.
func (c *counter) perSecond(t *testing.T, began time.Time) float64 {
	t.Helper()
	select {
	case <-c.all:
	case <-time.After(5 * patience):
		t.Fatalf("%d of %d events came", c.heard.Load(), c.n)
	}
	return float64(c.n) / time.Since(began).Seconds()
}

// fill leaves n events for delivery, which does not run.
func (w *wire) fill(t *testing.T, by way, n int) {
	t.Helper()
	told := make([]ordersapi.Placed, n)
	for i := range told {
		told[i] = placedEvent()
	}
	if err := by.write(t, told...); err != nil {
		t.Fatal(err)
	}
}

// drain delivers n events that wait, and counts each as often as it is heard.
func (w *wire) drain(t *testing.T, by way, n int) (perSecond float64) {
	t.Helper()
	// One event first: it makes the connections, and watermill's tables.
	first := newCounter(len(w.listeners))
	stop := by.carry(t, first.handler())
	w.fill(t, by, 1)
	<-first.all
	stop()
	w.fill(t, by, n)
	c := newCounter(n * len(w.listeners))
	began := time.Now()
	defer by.carry(t, c.handler())()
	return c.perSecond(t, began)
}

// listen is a memory bus with one listener, who counts and acknowledges.
func (c *counter) listen(t *testing.T) *events.MemoryBus {
	t.Helper()
	bus := events.NewMemoryBus()
	messages, err := bus.Subscribe(t.Context(), ordersapi.Placed{}.Topic())
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the bus
		for m := range messages {
			m.Ack()
			c.add()
		}
	}()
	return bus
}

func (w *wire) tell(t *testing.T, n int) (perSecond float64) {
	t.Helper()
	c := newCounter(n)
	bus := c.listen(t)
	defer bus.Close()
	w.fill(t, w.ours(), n)
	began := time.Now()
	defer runs(t, events.NewOutbox(w.teller, bus, w.cfg, w.log).Run)()
	return c.perSecond(t, began)
}

func (w *wire) tellStock(t *testing.T, n int) (perSecond float64) {
	t.Helper()
	c := newCounter(n)
	bus := c.listen(t)
	defer bus.Close()
	w.fill(t, w.stock(), n)
	began := time.Now()
	defer forwardStock(t, w.watermill, "orders", bus)()
	return c.perSecond(t, began)
}

// hear gives the consumer n events.
func (w *wire) hear(t *testing.T, n, batch int) (perSecond float64) {
	t.Helper()
	c := newCounter(n)
	bus := events.NewMemoryBus()
	defer bus.Close()
	defer w.consume(t, w.listeners[0], bus, batch, c.handler())()
	messages := make([]*message.Message, n)
	for i := range messages {
		messages[i] = stockMessage(t, placedEvent())
	}
	began := time.Now()
	if err := bus.Publish(ordersapi.Placed{}.Topic(), messages...); err != nil { // it returns when all are handled
		t.Fatal(err)
	}
	return c.perSecond(t, began)
}
