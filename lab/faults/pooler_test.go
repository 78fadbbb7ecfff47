package faults

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/tools/topology"
)

// The shop and the operator's verbs work through a PgBouncer in transaction mode, with fewer
// connections for each module than the module's own: every order is placed at the first try, and
// confirmed.
func TestThroughAPooler(t *testing.T) {
	program := cmp.Or(os.Getenv("TEST_POOLER"), pooler.Program())
	if program == "" {
		t.Skip("PgBouncer is not installed; .ci/run installs it, and make long SUITE=servers takes it from an image")
	}
	t.Parallel()
	s := startWith(t, topology.Options{Pooler: program})
	const orders = 320
	s.exec(t, "UPDATE inventory.stock SET on_hand = on_hand + 1000, restocked = restocked + 1000")
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			customer := fmt.Sprint("ada-", c) // one alone would have too much open
			for i := c; i < orders; i += clients {
				paid := i*len(mix) + len(mix) - 1 // an order whose payment is no trouble
				if _, err := s.place(t.Context(), s.URL, customer, paid, func(why string) { t.Error(why) }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	until(t, "all orders are confirmed", 20*time.Second, func() bool {
		return pgtest.Count(t, s.admin, "SELECT count(*) FROM orders.orders WHERE status = 'confirmed'") == orders
	})
	if t.Failed() {
		s.summarize(t)
	}
	for range 2 { // the second would find the first one's prepared statements
		s.seam(t, "events", "dead")
	}
}
