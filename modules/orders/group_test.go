package orders

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/modules/inventory/inventoryapi"
)

// Placements that come at once share a transaction, and nothing else: each has its own lines, cause
// and answer, and of requests with the same key one places an order.
func TestPlacementsShareTransactions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const customers, repetitions = 50, 8 // of eve
	place := func(n int) (int, http.Header, map[string]any) {
		customer := fmt.Sprint("c", n)
		if n >= customers {
			customer, n = "eve", 0
		}
		return s.call(customer, "POST", "", fmt.Sprintf(`{"email":"%s@mail.example","payment_token":"tok_ok",
			"lines":[{"sku":"cup","quantity":1},{"sku":"tea","quantity":%d}]}`, customer, n+1), "one key")
	}
	quoted := make(chan struct{}, customers+repetitions+2)
	s.module.stock = shelf(func(ctx context.Context, skus []string) ([]inventoryapi.Quote, error) {
		defer func() { quoted <- struct{}{} }()
		return teaAndCup(ctx, skus)
	})

	// Two transactions run at once, and the next ones place all that has come meanwhile.
	var all sync.WaitGroup
	defer all.Wait()
	release := s.Hold("LOCK TABLE orders IN SHARE MODE")
	defer release()
	for waiting := range 2 {
		all.Go(func() { s.order() })
		<-quoted
		s.Waiting(waiting + 1) // one after the other: two that come at the same time may share one
	}
	var statuses [customers + repetitions]int
	var answers [customers + repetitions]map[string]any
	for n := range statuses {
		all.Go(func() { statuses[n], _, answers[n] = place(n) })
	}
	for range statuses {
		<-quoted
	}
	release()
	all.Wait()

	_, _, eves := place(customers)
	created := 0
	for n, status := range statuses {
		switch {
		case n >= customers && status == http.StatusConflict && answers[n]["type"] == "urn:shop:problem:request-running":
		case n >= customers && status == http.StatusCreated && answers[n]["id"] == eves["id"]:
			created++
		case n < customers && status == http.StatusCreated:
			_, _, got := s.call(fmt.Sprint("c", n), "GET", "/"+answers[n]["id"].(string), "", "")
			want := []any{
				map[string]any{"sku": "cup", "name": "Cup", "quantity": 1.0, "unit_price": 1800.0},
				map[string]any{"sku": "tea", "name": "Tea", "quantity": float64(n + 1), "unit_price": 1299.0},
			}
			if diff := cmp.Diff(want, got["lines"]); diff != "" {
				t.Errorf("order %d (-want +got):\n%s", n, diff)
			}
		default:
			t.Errorf("request %d: status %d, %v", n, status, answers[n])
		}
	}
	if n := s.Count("SELECT count(*) FROM orders WHERE customer_id = 'eve'"); created == 0 || n != 1 {
		t.Errorf("%d answers with eve's order, and %d orders", created, n)
	}
	if n := s.Count("SELECT count(DISTINCT xmin::text) FROM orders"); n > 10 {
		t.Errorf("the orders were stored by %d transactions", n)
	}
	n := s.Count(`SELECT count(DISTINCT headers ->> 'correlationid') FROM outbox JOIN orders ON orders.id::text = key
		WHERE headers ->> 'actor' = 'customer:' || customer_id AND payload ->> 'email' = email AND customer_id <> 'ada'`)
	if n != customers+1 {
		t.Errorf("%d events have the cause of their own request", n)
	}
}
