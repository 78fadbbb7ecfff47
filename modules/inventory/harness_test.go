package inventory

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	inventorymigrations "example.com/shop/migrations/inventory"
	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
)

// shop is the module on its stage, with all products.
type shop struct {
	*moduletest.Stage
	t      *testing.T
	module *Module
}

func setup(t *testing.T) *shop {
	t.Helper()
	s := atRest(t)
	s.Start(s.module)
	return s
}

// atRest is the module before the start: it handles no events, and what it publishes stays in the
// outbox.
func atRest(t *testing.T) *shop {
	t.Helper()
	s := &shop{Stage: moduletest.New(t, "inventory", inventorymigrations.FS), t: t}
	seed, err := inventorymigrations.FS.ReadFile("seed/products.sql")
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(string(seed))
	s.module = New(Config{KeyRetention: time.Hour}, s.DB, s.Outbox, s.Log, s.Now)
	return s
}

// answers are what inventory has published, in order.
func (s *shop) answers() []string {
	s.t.Helper()
	return s.Texts(`SELECT concat_ws(' ', topic, key, payload ->> 'reason', payload ->> 'version')
		FROM outbox WHERE topic LIKE 'inventory.%' ORDER BY id`)
}

// tea is what is on hand, reserved and shipped of tea-assam.
func (s *shop) tea() [3]int64 {
	s.t.Helper()
	row, err := db.New(s.DB).GetProduct(s.t.Context(), "tea-assam")
	if err != nil {
		s.t.Fatal(err)
	}
	return [3]int64{row.OnHand, row.Reserved, row.Shipped}
}

func placed(order string, lines ...ordersapi.Line) ordersapi.Placed {
	return ordersapi.Placed{OrderID: order, CustomerID: "ada", Email: "ada@mail.example", Lines: lines, Version: 1}
}

// deliveries are the events as a handler gets them, each caused by its order's request.
func deliveries[E events.Event](delivered ...E) []events.Delivery[E] {
	batch := make([]events.Delivery[E], len(delivered))
	for i, e := range delivered {
		order, _ := e.Aggregate()
		request := origin.Request{CorrelationID: order}
		batch[i] = events.Delivery[E]{Event: e, Cause: events.CauseOf(origin.With(context.Background(), request))}
	}
	return batch
}

// place hands the orders to the handler, as one batch in one transaction.
func (s *shop) place(ctx context.Context, batch ...ordersapi.Placed) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error { return s.module.onOrderPlaced(ctx, tx, deliveries(batch...)) })
}

// confirm is place for confirmed orders.
func (s *shop) confirm(ctx context.Context, orders ...string) error {
	batch := make([]ordersapi.Confirmed, len(orders))
	for i, order := range orders {
		batch[i] = ordersapi.Confirmed{OrderID: order, Version: 3}
	}
	return s.DB.InTx(ctx, func(tx pgx.Tx) error { return s.module.onOrderConfirmed(ctx, tx, deliveries(batch...)) })
}

func (s *shop) cancel(ctx context.Context, order string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		return s.module.onOrderCancelled(ctx, tx, ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 2})
	})
}

// status of the order's reservation, or nothing.
func (s *shop) status(order string) (status string) {
	s.t.Helper()
	err := s.DB.QueryRow(s.t.Context(), "SELECT coalesce((SELECT status FROM reservations WHERE order_id = $1), '')", order).Scan(&status)
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}
