package payments

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

func (s *shop) erase(order string) error {
	return s.DB.InTx(s.t.Context(), func(tx pgx.Tx) error {
		return s.module.onOrderErased(s.t.Context(), tx, batch(ordersapi.Erased{OrderID: order, Version: 4}))
	})
}

// An erased order keeps its payment, which has nothing of the customer, and nothing else. While its
// refund is not done it is not erased: that is owed.
func TestAnErasedOrderKeepsItsPayment(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := uuid.NewString()
	adopted, _ := s.leave(attempt{kind: "capture", status: "captured", state: "done", due: time.Hour, tries: 1})
	s.Exec(`UPDATE attempts SET cause = '{"actor": "customer:ada"}'`)
	stop := s.Work(s.module)
	s.Given(due(order, "tok_ok"))
	s.settled()
	stop()
	s.Given(cancelOf(order))
	s.Eventually("all is published", "SELECT NOT EXISTS (SELECT FROM outbox_pending)")
	if err := s.erase(order); !errors.Is(err, events.ErrUnfinished) {
		t.Errorf("with an owed refund: %v", err)
	}
	s.Work(s.module)
	s.settled()
	s.Eventually("all is published", "SELECT NOT EXISTS (SELECT FROM outbox_pending)")
	if err := errors.Join(s.erase(order), s.erase(adopted.String())); err != nil {
		t.Error(err)
	}
	s.check(order, "refunded", nil, []string{"capture approved", "refund approved"})
	if n := s.Count("SELECT count(*) FROM attempts WHERE cause::text ~ 'ada'"); n != 0 {
		t.Error("what v0.1.0 has left names the customer")
	}
}
