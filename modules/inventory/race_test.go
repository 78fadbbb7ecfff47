package inventory

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
)

// The consumer handles one batch of the module at a time. The statements do not depend on it: here the handlers run all at
// once, and each placed comes twice, while staff restocks the same products. No deadlock, no piece lost, none promised twice,
// and a cancelled order holds nothing, whichever of its events came first.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const orders, trucks, perTruck = 40, 10, 3
	var wg sync.WaitGroup
	inTx := func(handle func(tx pgx.Tx) error) {
		wg.Go(func() {
			if err := pgx.BeginFunc(t.Context(), s.pool, handle); err != nil {
				t.Error(err)
			}
			s.module.outbox.Wake()
		})
	}
	for truck := range trucks {
		wg.Go(func() {
			quantity, key := fmt.Sprintf(`{"quantity":%d}`, perTruck), fmt.Sprint("truck-", truck)
			status, body := s.call("staff", "POST", "/products/tea-gyokuro/restock", quantity, key)
			if status != http.StatusOK {
				t.Errorf("status %d: %s", status, body)
			}
		})
	}
	for i := range orders {
		order := uuid.NewString()
		lines := []ordersapi.Line{{SKU: "tea-gyokuro", Quantity: 1}, {SKU: "tea-assam", Quantity: 2}, {SKU: "cup-celadon", Quantity: 1}}
		if i%3 == 0 {
			slices.Reverse(lines) // whoever locks in the order of the lines deadlocks
		}
		for range 2 {
			inTx(func(tx pgx.Tx) error { return s.module.onOrderPlaced(t.Context(), tx, placed(order, lines...)) })
		}
		if i%2 == 0 {
			inTx(func(tx pgx.Tx) error {
				return s.module.onOrderCancelled(t.Context(), tx, ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 2})
			})
		} else {
			inTx(func(tx pgx.Tx) error {
				return s.module.onOrderConfirmed(t.Context(), tx, ordersapi.Confirmed{OrderID: order, Version: 3})
			})
		}
	}
	wg.Wait()
	s.settle()

	if n := s.count("SELECT count(*) FROM reservations"); n != orders {
		t.Errorf("%d reservations, want %d", n, orders)
	}
	if n := s.count("SELECT restocked FROM stock WHERE sku = 'tea-gyokuro'"); n != trucks*perTruck {
		t.Errorf("restocked %d, want %d", n, trucks*perTruck)
	}
	unbalanced := s.count(`
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
	answered := s.count("SELECT count(*) FROM reservations WHERE status <> 'cancelled'")
	if int64(len(s.heard)) != answered {
		t.Errorf("heard %d answers, want %d", len(s.heard), answered)
	}
}

// An order that is known already waits for nobody's stock. If it did, its cancellation, which holds the order's row while it waits
// for the stock, would wait for it in a circle.
func TestKnownOrderLocksNoStock(t *testing.T) {
	t.Parallel()
	s := setup(t)
	again := placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: 2})
	s.tell(again)
	err := pgx.BeginFunc(t.Context(), s.pool, func(somebody pgx.Tx) error {
		if _, err := somebody.Exec(t.Context(), "SELECT sku FROM stock WHERE sku = 'tea-assam' FOR UPDATE"); err != nil {
			return err
		}
		return pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SET LOCAL lock_timeout = '500ms'"); err != nil {
				return err
			}
			return s.module.onOrderPlaced(t.Context(), tx, again)
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// A cancellation and its placed at the same moment, again and again: the stock must come back every time.
func TestCancelledOrderHoldsNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for range 50 {
		order := uuid.NewString()
		var pair sync.WaitGroup
		for _, handle := range []func(tx pgx.Tx) error{
			func(tx pgx.Tx) error {
				return s.module.onOrderPlaced(t.Context(), tx, placed(order, ordersapi.Line{SKU: "tea-gyokuro", Quantity: 3}))
			},
			func(tx pgx.Tx) error {
				return s.module.onOrderCancelled(t.Context(), tx, ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 2})
			},
		} {
			pair.Go(func() {
				if err := pgx.BeginFunc(t.Context(), s.pool, handle); err != nil {
					t.Error(err)
				}
			})
		}
		pair.Wait()
		if got, want := s.stock("tea-gyokuro"), [3]int64{3, 0, 0}; got != want {
			t.Fatalf("on hand, reserved, shipped: %v, want %v", got, want)
		}
	}
}
