package inventory

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// A batch leaves and publishes the same as its events handled one by one, whatever was handled
// before.
func TestBatchEqualsOneByOne(t *testing.T) {
	t.Parallel()
	together, alone := atRest(t), atRest(t)
	order := rapid.Map(rapid.IntRange(1, 6), func(n int) string { return fmt.Sprintf("0199a0c1-7f00-7000-8000-%012d", n) })
	line := rapid.Custom(func(rt *rapid.T) ordersapi.Line {
		sku := rapid.SampledFrom([]string{"tea-gyokuro", "cup-celadon", "no-such-tea"}).Draw(rt, "sku")
		return ordersapi.Line{SKU: sku, Quantity: rapid.IntRange(1, 3).Draw(rt, "quantity")}
	})
	batch := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) ordersapi.Placed {
		return placed(order.Draw(rt, "order"), rapid.SliceOfN(line, 1, 3).Draw(rt, "lines")...)
	}), 1, 6)
	rapid.Check(t, func(rt *rapid.T) {
		for _, s := range []*shop{together, alone} {
			for _, reset := range []string{
				"DELETE FROM reservation_lines", "DELETE FROM reservations", "DELETE FROM outbox_pending", "DELETE FROM outbox",
				"UPDATE stock SET initial = 4, restocked = 0, on_hand = 4, reserved = 0, shipped = 0",
			} {
				if _, err := s.DB.Exec(t.Context(), reset); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for range 2 {
			confirmed := rapid.SliceOfN(rapid.Map(order, func(id string) ordersapi.Confirmed {
				return ordersapi.Confirmed{OrderID: id, Version: 3}
			}), 1, 3).Draw(rt, "confirmed")
			both(rt, together, alone, (*Module).onOrderPlaced, batch.Draw(rt, "placed"))
			both(rt, together, alone, (*Module).onOrderConfirmed, confirmed)
			cancelled := order.Draw(rt, "cancelled")
			for _, s := range []*shop{together, alone} {
				if err := s.cancel(t.Context(), cancelled); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff(alone.answers(), together.answers()); diff != "" {
			rt.Errorf("published, one by one and together:\n%s", diff)
		}
		if diff := cmp.Diff(alone.rows(), together.rows()); diff != "" {
			rt.Errorf("rows, one by one and together:\n%s", diff)
		}
	})
}

// both handles the events in one transaction of together, and in one for each of alone.
func both[E events.Event](rt *rapid.T, together, alone *shop, handle batchHandler[E], delivered []E) {
	run := func(s *shop, batch []events.Delivery[E]) {
		err := s.DB.InTx(rt.Context(), func(tx pgx.Tx) error { return handle(s.module, rt.Context(), tx, batch) })
		if err != nil {
			rt.Fatal(err)
		}
	}
	batch := deliveries(delivered...)
	run(together, batch)
	for i := range batch {
		run(alone, batch[i:i+1])
	}
}

type batchHandler[E events.Event] func(*Module, context.Context, pgx.Tx, []events.Delivery[E]) error

// rows are all rows of the module, as text.
func (s *shop) rows() []string {
	s.t.Helper()
	return s.Texts(`
		SELECT concat_ws(' ', 'reservation', order_id, status) AS row FROM reservations UNION ALL
		SELECT concat_ws(' ', 'line', order_id, sku, quantity) FROM reservation_lines UNION ALL
		SELECT concat_ws(' ', 'stock', sku, on_hand, reserved, shipped) FROM stock ORDER BY row`)
}
