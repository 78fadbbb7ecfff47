package orders

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
)

// teas is a placement of so many teas.
func teas(n int) string {
	return fmt.Sprintf(`{"email":"eve@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea","quantity":%d}]}`, n)
}

// A customer who has as much open as is allowed is refused, whatever others have. The key of a
// refused request can be used again, which succeeds once an order is final. A repetition has its
// answer.
func TestOpenOrdersAreLimited(t *testing.T) {
	t.Parallel()
	for kind, test := range map[string]struct {
		orders, pieces int
		within         []int
	}{
		"too-many-open-orders": {orders: 2, pieces: 1000, within: []int{1, 1}},
		"too-many-pieces":      {orders: 10, pieces: 9, within: []int{4, 5}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.module.cfg.MaxOpen, s.module.cfg.MaxPieces = test.orders, test.pieces
			var first string
			for n, quantity := range test.within {
				status, _, answer := s.call("eve", "POST", "", teas(quantity), fmt.Sprint("key ", n))
				if status != http.StatusCreated {
					t.Fatalf("order %d: status %d, %v", n, status, answer)
				}
				if n == 0 {
					first = answer["id"].(string)
				}
			}
			status, header, answer := s.call("eve", "POST", "", teas(1), "one more")
			if status != http.StatusTooManyRequests || answer["type"] != "urn:shop:problem:"+kind || header.Get("Retry-After") == "" {
				t.Errorf("one more: status %d, %v, %v", status, header, answer)
			}
			if n := s.Count("SELECT count(*) FROM outbox WHERE topic = 'orders.placed.v1'"); n != 2 {
				t.Errorf("%d orders are published", n)
			}
			if status, _, answer := s.call("eve", "POST", "", teas(test.within[0]), "key 0"); answer["id"] != first {
				t.Errorf("a repetition: status %d, %v", status, answer)
			}
			s.order() // ada's
			s.Given(inventoryapi.Rejected{OrderID: first})
			if status, _, answer := s.call("eve", "POST", "", teas(1), "one more"); status != http.StatusCreated {
				t.Errorf("once an order is cancelled: status %d, %v", status, answer)
			}
		})
	}
}

// Placements of a group count for each other.
func TestTheLimitHoldsWithinAGroup(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.module.cfg.MaxOpen = 3
	release := s.Hold("LOCK TABLE orders IN SHARE MODE")
	defer release()
	var all sync.WaitGroup
	var mu sync.Mutex
	for waiting := range 2 { // the transactions that run at once
		all.Go(func() { s.call("ada", "POST", "", twoTeasAndACup, uuid.NewString()) })
		s.Waiting(waiting + 1)
	}
	statuses := map[int]int{}
	for range 20 {
		all.Go(func() {
			status, _, _ := s.call("eve", "POST", "", teas(1), uuid.NewString())
			mu.Lock()
			statuses[status]++
			mu.Unlock()
		})
	}
	release()
	all.Wait()
	// Two transactions that do not see each other admit twice the limit at most.
	if n := statuses[http.StatusCreated]; n < 3 || n > 6 || n+statuses[http.StatusTooManyRequests] != 20 {
		t.Errorf("statuses %v", statuses)
	}
	if n := s.Count("SELECT count(*) FROM orders WHERE customer_id = 'eve'"); n != int64(statuses[http.StatusCreated]) {
		t.Errorf("%d orders", n)
	}
}
