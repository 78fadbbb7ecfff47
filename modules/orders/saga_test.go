package orders

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
)

func TestTheSaga(t *testing.T) {
	t.Parallel()
	reserved := func(id string) events.Event { return inventoryapi.Reserved{OrderID: id} }
	rejected := func(id string) events.Event { return inventoryapi.Rejected{OrderID: id, Reason: "out_of_stock"} }
	captured := func(id string) events.Event { return paymentsapi.Captured{OrderID: id} }
	declined := func(id string) events.Event { return paymentsapi.Declined{OrderID: id} }
	type facts []func(id string) events.Event
	for name, test := range map[string]struct {
		facts     facts
		status    string
		published []string
	}{
		"nothing happens":               {nil, "placed", []string{"orders.placed.v1"}},
		"reserved":                      {facts{reserved}, "awaiting_payment", []string{"orders.placed.v1", "orders.payment_due.v1"}},
		"confirmed":                     {facts{reserved, captured}, "confirmed", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.confirmed.v1"}},
		"rejected":                      {facts{rejected}, "cancelled out_of_stock", []string{"orders.placed.v1", "orders.cancelled.v1"}},
		"declined":                      {facts{reserved, declined}, "cancelled declined", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.cancelled.v1"}},
		"twice":                         {facts{reserved, reserved, captured, captured, reserved}, "confirmed", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.confirmed.v1"}},
		"a capture after a decline":     {facts{reserved, declined, captured}, "cancelled declined", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.cancelled.v1"}},
		"a capture that cannot be":      {facts{captured}, "placed", []string{"orders.placed.v1"}},
		"a rejection after reservation": {facts{reserved, rejected}, "awaiting_payment", []string{"orders.placed.v1", "orders.payment_due.v1"}},
		"a decline after the end":       {facts{reserved, captured, declined}, "confirmed", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.confirmed.v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			id := s.order()
			for _, fact := range test.facts {
				s.Given(fact(id.String()))
			}
			if got := s.status(id); got != test.status {
				t.Errorf("status %q, want %q", got, test.status)
			}
			if diff := cmp.Diff(test.published, s.Published(id.String())); diff != "" {
				t.Errorf("published (-want +got):\n%s", diff)
			}
			if order := s.find(id); (order.PaymentToken == "") != status(order.Status).final() {
				t.Errorf("%s, and the token is %q", order.Status, order.PaymentToken)
			}
			due := s.Count("SELECT count(*) FROM outbox WHERE topic = 'orders.payment_due.v1' AND payload ->> 'payment_token' = 'tok_ok'")
			if (due == 1) != slices.Contains(test.published, "orders.payment_due.v1") {
				t.Errorf("%d payments due with the token", due)
			}
		})
	}
}

func TestAnOverdueOrderExpires(t *testing.T) {
	t.Parallel()
	s := setup(t)
	silent, reserved, confirmed := s.order(), s.order(), s.order()
	s.Advance(50 * time.Second)
	s.Given(inventoryapi.Reserved{OrderID: reserved.String()}, inventoryapi.Reserved{OrderID: confirmed.String()},
		paymentsapi.Captured{OrderID: confirmed.String()})
	expire := func() {
		t.Helper()
		if _, err := s.module.expireOverdue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Advance(20 * time.Second)
	expire()
	if got := s.status(silent); got != "cancelled expired" {
		t.Errorf("70 s without an answer: %s", got)
	}
	if got := s.status(reserved); got != "awaiting_payment" {
		t.Errorf("20 s of waiting for payment: %s", got)
	}
	s.Advance(time.Hour)
	expire()
	s.Given(paymentsapi.Captured{OrderID: reserved.String()})
	if got := s.status(reserved); got != "cancelled expired" {
		t.Errorf("an hour of waiting for payment, then a capture: %s", got)
	}
	if got := s.status(confirmed); got != "confirmed" {
		t.Errorf("a final order expired: %s", got)
	}
}

// However a cancellation, an expiry and a capture race, there is one final state and one event of
// it.
func TestRacesHaveOneWinner(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for range 20 {
		id := s.order()
		s.Given(inventoryapi.Reserved{OrderID: id.String()})
		s.Advance(2 * time.Minute)
		var racers sync.WaitGroup
		racers.Go(func() { s.Given(paymentsapi.Captured{OrderID: id.String()}) })
		racers.Go(func() {
			if _, err := s.module.cancelOrder(t.Context(), "ada", id); err != nil && !errors.Is(err, errConfirmed) {
				t.Errorf("cancel: %v", err)
			}
		})
		racers.Go(func() {
			if _, err := s.module.expireOverdue(t.Context()); err != nil {
				t.Errorf("expire: %v", err)
			}
		})
		racers.Wait()
		published := s.Published(id.String())
		if len(published) != 3 || !status(s.find(id).Status).final() {
			t.Fatalf("%s, published %v", s.status(id), published)
		}
	}
}
