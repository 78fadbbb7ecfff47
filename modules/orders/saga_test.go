package orders

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
)

func TestTheSaga(t *testing.T) {
	t.Parallel()
	reserved := func(id string) events.Event { return inventoryapi.Reserved{OrderID: id} }
	rejected := func(id string) events.Event { return inventoryapi.Rejected{OrderID: id, Reason: "out_of_stock"} }
	captured := func(id string) events.Event { return paid(id) }
	declined := func(id string) events.Event { return paymentsapi.Declined{OrderID: id} }
	type facts []func(id string) events.Event
	for name, test := range map[string]struct {
		facts             facts
		status, published string
	}{
		"nothing happens":               {nil, "placed", "placed"},
		"reserved":                      {facts{reserved}, "awaiting_payment", "placed payment_due"},
		"confirmed":                     {facts{reserved, captured}, "confirmed", "placed payment_due confirmed"},
		"rejected":                      {facts{rejected}, "cancelled out_of_stock", "placed cancelled"},
		"declined":                      {facts{reserved, declined}, "cancelled declined", "placed payment_due cancelled"},
		"twice":                         {facts{reserved, reserved, captured, captured, reserved}, "confirmed", "placed payment_due confirmed"},
		"a capture after a decline":     {facts{reserved, declined, captured}, "cancelled declined", "placed payment_due cancelled"},
		"a capture that cannot be":      {facts{captured}, "placed", "placed"},
		"a rejection after reservation": {facts{reserved, rejected}, "awaiting_payment", "placed payment_due"},
		"a decline after the end":       {facts{reserved, captured, declined}, "confirmed", "placed payment_due confirmed"},
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
			published := strings.NewReplacer("orders.", "", ".v1", "").Replace(strings.Join(s.Published(id.String()), " "))
			if published != test.published {
				t.Errorf("published %s, want %s", published, test.published)
			}
			if order := s.find(id); (order.PaymentToken == "") != status(order.Status).final() {
				t.Errorf("%s, and the token is %q", order.Status, order.PaymentToken)
			}
			due := s.Count(`SELECT count(*) FROM outbox
				WHERE topic = 'orders.payment_due.v1' AND payload ->> 'payment_token' = 'tok_ok'
				AND expires_at > now() AND expires_at <= now() + interval '1 minute'`) // the order's deadline
			if (due == 1) != strings.Contains(test.published, "payment_due") {
				t.Errorf("%d payments due with the token, until the deadline", due)
			}
		})
	}
}

// A capture of another amount or currency than was due confirms nothing, whatever else comes with
// it. It is a dead letter, the order waits, and one that is paid in full all the same is confirmed.
func TestOnlyTheWholeAmountConfirms(t *testing.T) {
	t.Parallel()
	s := setup(t)
	forged, honest := s.order().String(), s.order().String()
	s.Given(inventoryapi.Reserved{OrderID: forged}, inventoryapi.Reserved{OrderID: honest})
	lie := func(amount int64, currency string) events.Event {
		return paymentsapi.Captured{OrderID: forged, Amount: paymentsapi.Money{Amount: amount, Currency: currency}}
	}
	s.Publish(lie(1, "EUR"), paid(honest), lie(4398, "JPY"), lie(0, ""))
	s.Settle()
	const reason = "handle payments.captured.v1: the captured amount is not what was due"
	if diff := cmp.Diff([]string{reason, reason, reason}, s.Texts("SELECT reason FROM failed WHERE dead_at IS NOT NULL")); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	for id, want := range map[string]string{forged: "awaiting_payment", honest: "confirmed"} {
		if got := s.status(uuid.MustParse(id)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	s.Publish(paid(forged))
	s.Settle()
	if got := s.status(uuid.MustParse(forged)); got != "confirmed" {
		t.Errorf("paid in full, it is %s", got)
	}
}

func TestAnOverdueOrderExpires(t *testing.T) {
	t.Parallel()
	s := setup(t)
	silent, reserved, confirmed := s.order(), s.order(), s.order()
	s.Advance(50 * time.Second)
	s.Given(inventoryapi.Reserved{OrderID: reserved.String()}, inventoryapi.Reserved{OrderID: confirmed.String()},
		paid(confirmed.String()))
	expire := func(want map[uuid.UUID]string) {
		t.Helper()
		if _, err := s.module.expireOverdue(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id, want := range want {
			if got := s.status(id); got != want {
				t.Errorf("the order is %s, want %s", got, want)
			}
		}
	}
	s.Advance(20 * time.Second)
	expire(map[uuid.UUID]string{silent: "cancelled expired", reserved: "awaiting_payment"})
	s.Advance(time.Hour)
	expire(map[uuid.UUID]string{reserved: "cancelled expired", confirmed: "confirmed"})
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
		racers.Go(func() { s.Given(paid(id.String())) })
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
