package orders

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
)

// Each order moves once, from where it is, and what is published of it has the cause of the event
// that moved it. An event that cannot be read is a dead letter.
func TestABatchOfMixedMoves(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, second, due, cancelled := s.order(), s.order(), s.order(), s.order()
	s.Given(inventoryapi.Reserved{OrderID: due.String()}, inventoryapi.Rejected{OrderID: cancelled.String()})
	var reserved []events.Delivery[inventoryapi.Reserved]
	var captured []events.Delivery[paymentsapi.Captured]
	for _, d := range []struct {
		id  uuid.UUID
		why string
	}{{first, "one"}, {uuid.New(), "unknown"}, {due, "due"}, {cancelled, "late"}, {first, "twice"}, {second, "two"}} {
		id := d.id.String()
		cause := events.CauseOf(origin.With(t.Context(), origin.Request{CorrelationID: d.why, Actor: "test"}))
		reserved = append(reserved, events.Delivery[inventoryapi.Reserved]{Event: inventoryapi.Reserved{OrderID: id}, Cause: cause})
		captured = append(captured, events.Delivery[paymentsapi.Captured]{Event: paid(id), Cause: cause})
	}
	err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		if err := follow[inventoryapi.Reserved](s.module, reserve)(t.Context(), tx, reserved); err != nil {
			return err
		}
		return follow[paymentsapi.Captured](s.module, capture)(t.Context(), tx, captured[:len(captured)-1]) // not the second's
	})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Texts("SELECT concat_ws(' ', topic, headers ->> 'correlationid') FROM outbox WHERE headers ->> 'actor' = 'test'")
	slices.Sort(got)
	want := []string{
		"orders.confirmed.v1 due", "orders.confirmed.v1 one", "orders.payment_due.v1 one", "orders.payment_due.v1 two",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}

	s.Publish(inventoryapi.Reserved{OrderID: "none"})
	s.Settle()
	want = []string{"handle inventory.reserved.v1: read order id: invalid UUID length: 4"}
	if diff := cmp.Diff(want, s.Texts("SELECT reason FROM failed")); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

// Overdue orders expire in batches, around one that another transaction is moving.
func TestManyOrdersExpire(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var ids [expiryBatch + 1]uuid.UUID
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() { ids[i] = s.order() })
	}
	all.Wait()
	s.Advance(2 * time.Minute)
	release := s.Hold("SELECT FROM orders WHERE id = $1 FOR UPDATE", ids[0])
	expire := func(wantMore bool, wantLeft int64) {
		t.Helper()
		more, err := s.module.expireOverdue(t.Context())
		left := s.Count("SELECT count(*) FROM orders WHERE status = 'placed'")
		if err != nil || more != wantMore || left != wantLeft {
			t.Errorf("more %v and %d left, want %v and %d; %v", more, left, wantMore, wantLeft, err)
		}
	}
	expire(true, 1)
	expire(false, 1)
	release()
	expire(false, 0)
	expire(false, 0)
	n := s.Count(`SELECT count(DISTINCT key) FROM outbox
		WHERE topic = 'orders.cancelled.v1' AND payload ->> 'reason' = 'expired' AND headers ->> 'actor' = 'system'`)
	if n != int64(len(ids)) {
		t.Errorf("%d were published as expired by the system", n)
	}
}
