package inventory

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/postgres"
)

// The consumer handles one batch of the module at a time. The statements do not depend on it: here
// batches of orders are handled all at once, and each comes a second time, turned round, while
// staff restocks the same products. No deadlock, no piece lost, none promised twice, and a
// cancelled order holds nothing, whichever of its events came first.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const batches, perBatch, trucks, perTruck = 12, 6, 10, 3
	var cancelled []string
	var wg sync.WaitGroup
	handle := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	for truck := range trucks {
		wg.Go(func() {
			quantity, key := fmt.Sprintf(`{"quantity":%d}`, perTruck), fmt.Sprint("truck-", truck)
			if answer := s.call("staff", "POST", "/products/tea-gyokuro/restock", quantity, key); answer.Status != http.StatusOK {
				t.Errorf("status %d: %s", answer.Status, answer.Body)
			}
		})
	}
	for range batches {
		var batch []ordersapi.Placed
		var confirmed []string
		for i := range perBatch {
			order := uuid.NewString()
			lines := []ordersapi.Line{{SKU: "tea-gyokuro", Quantity: 1}, {SKU: "tea-assam", Quantity: 2}, {SKU: "cup-celadon", Quantity: 1}}
			batch = append(batch, placed(order, lines[i%3:]...))
			if i%2 == 0 {
				cancelled = append(cancelled, order)
				handle(func() error { return s.cancel(t.Context(), order) })
			} else {
				confirmed = append(confirmed, order)
			}
		}
		turned, again := slices.Clone(batch), slices.Clone(confirmed)
		slices.Reverse(turned)
		slices.Reverse(again)
		handle(func() error { return errors.Join(s.place(t.Context(), batch...), s.confirm(t.Context(), confirmed...)) })
		handle(func() error { return errors.Join(s.place(t.Context(), turned...), s.confirm(t.Context(), again...)) })
	}
	wg.Wait()
	s.Settle()

	if n := s.Count("SELECT count(*) FROM reservations"); n != batches*perBatch {
		t.Errorf("%d reservations, want %d", n, batches*perBatch)
	}
	if n := s.Count("SELECT restocked FROM stock WHERE sku = 'tea-gyokuro'"); n != trucks*perTruck {
		t.Errorf("restocked %d, want %d", n, trucks*perTruck)
	}
	if n := s.Count("SELECT count(*) FROM reservations WHERE status IN ('reserved', 'shipped') AND order_id = ANY ($1)", cancelled); n > 0 {
		t.Errorf("%d cancelled orders hold stock", n)
	}
	unbalanced := s.Count(`
		SELECT count(*)
		FROM stock AS s
		WHERE s.on_hand + s.reserved + s.shipped <> s.initial + s.restocked
			OR s.reserved <> (SELECT coalesce(sum(l.quantity), 0) FROM reservation_lines AS l
				JOIN reservations AS r ON r.order_id = l.order_id WHERE l.sku = s.sku AND r.status = 'reserved')
			OR s.shipped <> (SELECT coalesce(sum(l.quantity), 0) FROM reservation_lines AS l
				JOIN reservations AS r ON r.order_id = l.order_id WHERE l.sku = s.sku AND r.status = 'shipped')`)
	if unbalanced != 0 {
		t.Errorf("the counts of %d products do not match their reservations", unbalanced)
	}
	answered := s.Count("SELECT count(*) FROM reservations WHERE status <> 'cancelled'")
	if n := len(s.answers()); int64(n) != answered {
		t.Errorf("%d answers, want %d", n, answered)
	}
}

// Two handlers want the same rows, in opposite directions, and a third transaction has the one in
// the middle: when it ends, both come through. If they did not lock in one order, each would have a
// row by then that the other waits for.
func TestHandlersLockInOneOrder(t *testing.T) {
	t.Parallel()
	const (
		low    = "0199a0c1-7f00-7000-8000-000000000001"
		middle = "0199a0c1-7f00-7000-8000-000000000002"
		high   = "0199a0c1-7f00-7000-8000-000000000003"

		makesOrder = `INSERT INTO reservations (order_id, status, created_at, updated_at)
			VALUES ('` + middle + `', 'cancelled', now(), now())`
		hasOrder = "SELECT status FROM reservations WHERE order_id = '" + middle + "' FOR UPDATE"
		hasStock = "SELECT on_hand FROM stock WHERE sku = 'tea-assam' FOR UPDATE"
	)
	lines := []ordersapi.Line{{SKU: "cup-celadon", Quantity: 1}, {SKU: "tea-assam", Quantity: 1}, {SKU: "tea-gyokuro", Quantity: 1}}
	place := func(orders ...string) func(*shop) error {
		var batch []ordersapi.Placed
		for i, order := range orders {
			batch = append(batch, placed(order, lines[(i+1)%3], lines[i%3]))
		}
		return func(s *shop) error { return s.place(t.Context(), batch...) }
	}
	confirm := func(orders ...string) func(*shop) error {
		return func(s *shop) error { return s.confirm(t.Context(), orders...) }
	}
	cancel := func(s *shop) error { return s.cancel(t.Context(), high) }
	for name, test := range map[string]struct {
		known       []string
		third       string
		first, next func(*shop) error
	}{
		"orders at placed":       {nil, makesOrder, place(low, middle, high), place(high, middle, low)},
		"orders at confirmed":    {[]string{low, middle, high}, hasOrder, confirm(low, middle, high), confirm(high, middle, low)},
		"stock of two placed":    {nil, hasStock, place(low, middle), place(high)},
		"stock, and it is sent":  {[]string{low, middle}, hasStock, place(high), confirm(middle, low)},
		"stock, and it is back":  {[]string{high}, hasStock, place(low, middle), cancel},
		"stock, sent and back":   {[]string{low, middle, high}, hasStock, confirm(low, middle), cancel},
		"stock, back and placed": {[]string{high}, hasStock, cancel, place(middle, low)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := atRest(t)
			if err := place(test.known...)(s); err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			defer both.Wait()
			release := s.Hold(test.third)
			defer release()
			for i, handle := range []func(*shop) error{test.first, test.next} {
				both.Go(func() {
					if err := handle(s); err != nil {
						t.Error(err)
					}
				})
				s.Waiting(i + 1)
			}
		})
	}
}

// An order that is known already locks no stock, whatever else is in its batch. If it did, it could
// deadlock with its cancellation, which holds the order's row while it waits for the stock.
func TestKnownOrderLocksNoStock(t *testing.T) {
	t.Parallel()
	s := setup(t)
	again := placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: 2})
	other := placed(uuid.NewString(), ordersapi.Line{SKU: "cup-celadon", Quantity: 1})
	s.Given(again)
	s.Hold("SELECT sku FROM stock WHERE sku = 'tea-assam' FOR UPDATE")
	err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		postgres.QueueSQL(tx, "SET LOCAL lock_timeout = '500ms'")
		return s.module.onOrderPlaced(t.Context(), tx, deliveries(again, other))
	})
	if err != nil {
		t.Error(err)
	}
	if got := s.status(other.OrderID); got != "reserved" {
		t.Errorf("the other order is %s, want reserved", got)
	}
}
