package inventory

import (
	"testing"

	"github.com/google/uuid"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// A statement that is only queued fails with the commit, by name, when the handler has returned
// nil. The event is then a dead letter with that reason, and nothing of it stays.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	s := setup(t)
	shipped, released := uuid.NewString(), uuid.NewString()
	s.Given(placed(shipped, ordersapi.Line{SKU: "tea-assam", Quantity: 1}), placed(released, ordersapi.Line{SKU: "tea-assam", Quantity: 1}))
	before := s.tea()
	s.Plant("ALTER TABLE inventory.reservation_lines ADD CHECK (quantity <> 13)")
	s.Plant("ALTER TABLE inventory.reservations ADD CHECK (status NOT IN ('rejected', 'shipped', 'released'))")
	for statement, event := range map[string]events.Event{
		"Reserve": placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: 13}),
		"Reject":  placed(uuid.NewString(), ordersapi.Line{SKU: "no-such-tea", Quantity: 1}),
		"Ship":    ordersapi.Confirmed{OrderID: shipped, Version: 3},
		"Release": ordersapi.Cancelled{OrderID: released, Version: 3},
	} {
		s.Publish(event)
		s.Settle()
		if n := s.Count("SELECT count(*) FROM failed WHERE reason LIKE $1", "-- name: "+statement+" :exec%"); n != 1 {
			t.Errorf("%s: %d events failed for it, want 1", statement, n)
		}
	}
	if got := s.tea(); got != before {
		t.Errorf("on hand, reserved, shipped: %v, want %v", got, before)
	}
	if n := s.Count("SELECT count(*) FROM reservations"); n != 2 {
		t.Errorf("%d reservations, want 2", n)
	}
}
