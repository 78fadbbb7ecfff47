package inventory

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"example.com/shop/modules/orders/ordersapi"
)

// A batch leaves and publishes the same as its events handled one by one, whatever was handled
// before, and each answer has the cause of its own event.
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
				s.Exec(reset)
			}
		}
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		for range 2 {
			placed, confirmed := batch.Draw(rt, "placed"), rapid.SliceOfN(order, 1, 3).Draw(rt, "confirmed")
			cancelled := order.Draw(rt, "cancelled")
			must(together.place(t.Context(), placed...))
			for _, e := range placed {
				must(alone.place(t.Context(), e))
			}
			must(together.confirm(t.Context(), confirmed...))
			for _, id := range confirmed {
				must(alone.confirm(t.Context(), id))
			}
			must(together.cancel(t.Context(), cancelled))
			must(alone.cancel(t.Context(), cancelled))
		}
		if diff := cmp.Diff(alone.answers(), together.answers()); diff != "" {
			rt.Errorf("published, one by one and together:\n%s", diff)
		}
		if diff := cmp.Diff(alone.rows(), together.rows()); diff != "" {
			rt.Errorf("rows, one by one and together:\n%s", diff)
		}
		if n := together.Count("SELECT count(*) FROM outbox WHERE headers ->> 'correlationid' IS DISTINCT FROM key"); n > 0 {
			rt.Errorf("%d answers have another cause than their order's event", n)
		}
	})
}

// rows are all rows of the module, as text.
func (s *shop) rows() []string {
	s.t.Helper()
	return s.Texts(`
		SELECT concat_ws(' ', 'reservation', order_id, status) AS row FROM reservations UNION ALL
		SELECT concat_ws(' ', 'line', order_id, sku, quantity) FROM reservation_lines UNION ALL
		SELECT concat_ws(' ', 'stock', sku, on_hand, reserved, shipped) FROM stock ORDER BY row`)
}
