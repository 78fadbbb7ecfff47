package payments

import (
	"testing"

	"github.com/google/uuid"

	"example.com/shop/modules/orders/ordersapi"
)

// An erased order keeps its payment, which has nothing of the customer, and its refund, which is
// owed.
func TestAnErasedOrderKeepsItsPayment(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := uuid.NewString()
	stop := s.Work(s.module)
	s.Given(due(order, "tok_ok"))
	s.settled()
	stop()
	s.Given(cancelOf(order))
	s.Given(ordersapi.Erased{OrderID: order, Version: 4})
	if s.Count("SELECT count(*) FROM erased WHERE key = $1", order) != 1 {
		t.Error("the order's events are not erased")
	}
	s.Work(s.module)
	s.settled()
	s.check(order, "refunded", []string{"payments.captured.v1", "payments.refunded.v1"}, []string{"capture approved", "refund approved"})
}
