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
	"example.com/shop/platform/postgres"
)

// backlog measures how fast what waits is delivered.
func (b *bench) backlog(t *testing.T) section {
	t.Helper()
	b.say("A backlog …")
	n := b.drained
	s := section{title: "A backlog", how: fmt.Sprintf("Drained: %d events wait in the outbox of orders; from the start of the delivery until the listener has begun with the "+
		"last (its handler inserts a row). Beside it the stock path as above, with a twentieth of the events. Told: the same outbox, but to a memory bus whose one listener "+
		"acknowledges at once, so that only the relay is measured; beside it watermill's forwarder, from watermill-sql to the same bus. Heard: "+
		"the consumer is given as many events as fast as it takes them; beside it the same consumer with one event in a transaction, given a tenth.", n)}
	w := b.newWire(t, "backlog", 1)
	defer w.drop(t)
	relay := func(bus *events.MemoryBus) (stop func()) {
		return runs(t, events.NewOutbox(w.teller, bus, w.cfg, w.log).Run)
	}
	forwarder := func(bus *events.MemoryBus) (stop func()) { return forwardStock(t, w.watermill, "orders", bus) }
	s.rows = append(s.rows,
		row{what: "drained", unit: "events/s", ours: rate(w.drain(t, w.ours(), n)), beside: "stock path", reference: rate(w.drain(t, w.stock(), n/20))}.least(5),
		row{what: "told", unit: "events/s", ours: rate(w.tell(t, w.ours(), n, relay)), beside: "forwarder", reference: rate(w.tell(t, w.stock(), n, forwarder))},
		row{what: "heard", unit: "events/s", ours: rate(w.hear(t, n, w.cfg.ConsumerBatch)), beside: "one transaction per event", reference: rate(w.hear(t, n/10, 1))}.least(10))
	return s
}

// effect is the handler with the effect that notifications' own has.
func (h *hearing) effect(listener int) events.Handler {
	return events.On(func(ctx context.Context, tx pgx.Tx, e ordersapi.Placed) error {
		h.note(listener, e.OrderID)
		_, err := postgres.Later(tx).Exec(ctx, `INSERT INTO recipients (order_id, email, created_at) VALUES ($1, $2, now())
			ON CONFLICT (order_id) DO NOTHING`, e.OrderID, e.Email)
		return err
	})
}

// perSecond waits until all are heard.
func (h *hearing) perSecond(t *testing.T, began time.Time) float64 {
	t.Helper()
	h.wait(t)
	return float64(h.want) / time.Since(began).Seconds()
}

// fill leaves n events for delivery, which does not run.
func (w *wire) fill(t *testing.T, by way, n int) {
	t.Helper()
	told := make([]ordersapi.Placed, n)
	for i := range told {
		told[i] = placedEvent()
	}
	if _, err := by.write(t, told...); err != nil {
		t.Fatal(err)
	}
}

// drain delivers n events that wait, and counts each as often as it is heard.
func (w *wire) drain(t *testing.T, by way, n int) (perSecond float64) {
	t.Helper()
	// One event first: it makes the connections, and watermill's tables.
	first := newHearing(len(w.listeners))
	stop := by.carry(t, first.effect)
	w.fill(t, by, 1)
	first.wait(t)
	stop()
	w.fill(t, by, n)
	h := newHearing(n * len(w.listeners))
	began := time.Now()
	defer by.carry(t, h.effect)()
	return h.perSecond(t, began)
}

// listen is a memory bus with one listener, who notes and acknowledges.
func (h *hearing) listen(t *testing.T) *events.MemoryBus {
	t.Helper()
	bus := events.NewMemoryBus()
	messages, err := bus.Subscribe(t.Context(), ordersapi.Placed{}.Topic())
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the bus
		for m := range messages {
			m.Ack()
			h.note(0, m.UUID)
		}
	}()
	return bus
}

// tell starts what tells the n events that wait by that way; the listener only acknowledges.
func (w *wire) tell(t *testing.T, by way, n int, start func(bus *events.MemoryBus) (stop func())) (perSecond float64) {
	t.Helper()
	h := newHearing(n)
	bus := h.listen(t)
	defer bus.Close()
	w.fill(t, by, n)
	began := time.Now()
	defer start(bus)()
	return h.perSecond(t, began)
}

// hear gives the consumer n events.
func (w *wire) hear(t *testing.T, n, batch int) (perSecond float64) {
	t.Helper()
	h := newHearing(n)
	bus := events.NewMemoryBus()
	defer bus.Close()
	defer w.consume(t, w.listeners[0], bus, batch, h.effect(0))()
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
