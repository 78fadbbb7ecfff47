package payments

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
)

func (s *shop) erase(order string) error {
	return s.DB.InTx(s.t.Context(), func(tx pgx.Tx) error {
		return s.module.onOrderErased(s.t.Context(), tx, batch(ordersapi.Erased{OrderID: order, Version: 4}))
	})
}

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
	if err := s.erase(order); err != nil {
		t.Error(err)
	}
	s.Work(s.module)
	s.settled()
	s.check(order, "refunded", []string{"payments.captured.v1", "payments.refunded.v1"}, []string{"capture approved", "refund approved"})
}
