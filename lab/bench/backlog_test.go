package bench

import (
	"context"
	"fmt"
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
	s := section{title: "A backlog", how: fmt.Sprintf("Drained: %d events wait in the outbox of orders; from the start of "+
		"the delivery until the last is handled (the handler inserts a row). Beside it the stock path as above, with a twentieth of the "+
		"events. Consumed: the consumer is given as many events as fast as it takes them; beside it the same consumer with one "+
		"event in a transaction, given a tenth.", n)}
	w := b.newWire(t, "backlog", 1)
	defer w.drop(t)
	s.rows = append(s.rows,
		row{what: "drained", unit: "events/s", ours: rate(w.drain(t, w.ours(), n)), beside: "stock path",
			reference: rate(w.drain(t, w.stock(), n/20))}.least(5),
		row{what: "consumed", unit: "events/s", ours: rate(w.consumed(t, n, w.cfg.ConsumerBatch)), beside: "one transaction per event",
			reference: rate(w.consumed(t, n/10, 1))}.least(10))
	return s
}

// effect is the handler with the effect that notifications' own has.
func (h *handled) effect(subscriber int) events.Handler {
	return events.On(func(ctx context.Context, tx pgx.Tx, e ordersapi.Placed) error {
		h.note(subscriber, e.OrderID)
		return effect(ctx, tx, e)
	})
}

// perSecond waits until all are handled.
func (h *handled) perSecond(t *testing.T, began time.Time) float64 {
	t.Helper()
	h.wait(t)
	return float64(h.want) / time.Since(began).Seconds()
}

// fill leaves n events for delivery, which does not run.
func (w *wire) fill(t *testing.T, by way, n int) {
	t.Helper()
	published := make([]ordersapi.Placed, n)
	for i := range published {
		published[i] = placedEvent()
	}
	if _, err := by.publish(t, published...); err != nil {
		t.Fatal(err)
	}
}

// drain delivers n events that wait, and counts each as often as it is handled.
func (w *wire) drain(t *testing.T, by way, n int) (perSecond float64) {
	t.Helper()
	// One event first: it makes the connections, and watermill's tables.
	first := newHandled(len(w.subscribers))
	stop := by.carry(t, first.effect)
	w.fill(t, by, 1)
	first.wait(t)
	stop()
	w.fill(t, by, n)
	h := newHandled(n * len(w.subscribers))
	began := time.Now()
	defer by.carry(t, h.effect)()
	return h.perSecond(t, began)
}

// consumed gives the consumer n events.
func (w *wire) consumed(t *testing.T, n, batch int) (perSecond float64) {
	t.Helper()
	h := newHandled(n)
	bus := events.NewMemoryBus()
	defer bus.Close()
	defer w.consume(t, w.subscribers[0], bus, batch, h.effect(0))()
	messages := make([]*message.Message, n)
	for i := range messages {
		messages[i] = stockMessage(t, placedEvent())
	}
	began := time.Now()
	if err := bus.Publish(ordersapi.Placed{}.Topic(), messages...); err != nil { // it returns when all are handled
		t.Fatal(err)
	}
	return h.perSecond(t, began)
}
