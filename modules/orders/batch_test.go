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

// orders places n orders at the same time.
func (s *shop) orders(n int) []uuid.UUID {
	s.t.Helper()
	ids := make([]uuid.UUID, n)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() { ids[i] = s.order() })
	}
	all.Wait()
	return ids
}

func deliveryOf[E events.Event](e E, cause events.Cause) events.Delivery[E] {
	return events.Delivery[E]{Event: e, Cause: cause}
}

// Each order moves once, from where it is, and what is published of it has the cause of the event
// that moved it.
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
		cause := events.CauseOf(origin.With(t.Context(), origin.Request{CorrelationID: d.why, Actor: "test"}))
		reserved = append(reserved, deliveryOf(inventoryapi.Reserved{OrderID: d.id.String()}, cause))
		captured = append(captured, deliveryOf(paymentsapi.Captured{OrderID: d.id.String()}, cause))
	}
	err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		return follow[inventoryapi.Reserved](s.module, reserve)(t.Context(), tx, reserved)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.DB.InTx(t.Context(), func(tx pgx.Tx) error { // nothing of the second
		return follow[paymentsapi.Captured](s.module, capture)(t.Context(), tx, captured[:len(captured)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uuid.UUID]string{
		first: "confirmed", second: "awaiting_payment", due: "confirmed", cancelled: "cancelled out_of_stock",
	} {
		if got := s.status(id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	rows, err := s.DB.Query(t.Context(),
		"SELECT concat_ws(' ', topic, headers ->> 'correlationid') FROM outbox WHERE headers ->> 'actor' = 'test'")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{
		"orders.confirmed.v1 due", "orders.confirmed.v1 one", "orders.payment_due.v1 one", "orders.payment_due.v1 two",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// In whatever batches the bus delivers them, each order moves once, and an event that cannot be
// decoded does not delay the others.
func TestManyEventsAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const n = 60
	reserved, captured := []events.Event{inventoryapi.Reserved{OrderID: "none"}}, []events.Event{}
	for _, id := range s.orders(n) {
		for range 2 {
			reserved = append(reserved, inventoryapi.Reserved{OrderID: id.String()})
			captured = append(captured, paymentsapi.Captured{OrderID: id.String()})
		}
	}
	s.Publish(reserved...)
	s.Settle()
	s.Publish(captured...)
	s.Settle()
	for what, query := range map[string]string{
		"confirmed":     "SELECT count(*) FROM orders WHERE status = 'confirmed' AND version = 3",
		"payments due":  "SELECT count(*) FROM outbox WHERE topic = 'orders.payment_due.v1'",
		"confirmations": "SELECT count(*) FROM outbox WHERE topic = 'orders.confirmed.v1'",
	} {
		if got := s.Count(query); got != n {
			t.Errorf("%d %s, want %d", got, what, n)
		}
	}
	if n := s.Count("SELECT count(DISTINCT xmin::text) FROM inbox WHERE topic = 'payments.captured.v1'"); n > 20 {
		t.Errorf("%d captures were handled by %d transactions", len(captured), n)
	}
	var reason string
	if err := s.DB.QueryRow(t.Context(), "SELECT string_agg(reason, '; ') FROM failed").Scan(&reason); err != nil {
		t.Fatal(err)
	}
	if want := "handle inventory.reserved.v1: read order id: invalid UUID length: 4"; reason != want {
		t.Errorf("dead letters: %s; want %s", reason, want)
	}
}

// Overdue orders expire in batches, around one that another transaction is moving.
func TestManyOrdersExpire(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ids := s.orders(expiryBatch + 1)
	s.Advance(2 * time.Minute)
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM orders WHERE id = $1 FOR UPDATE", ids[0]); err != nil {
		t.Fatal(err)
	}
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
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	expire(false, 0)
	expire(false, 0)
	n := s.Count(`SELECT count(DISTINCT key) FROM outbox
		WHERE topic = 'orders.cancelled.v1' AND payload ->> 'reason' = 'expired' AND headers ->> 'actor' = 'system'`)
	if n != int64(len(ids)) {
		t.Errorf("%d were published as expired by the system", n)
	}
}
