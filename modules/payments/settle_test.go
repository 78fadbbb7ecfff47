package payments

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/postgres"
)

// A result that had to wait for the payment's row goes by what it finds then.
func TestBesideTheResult(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		beside func(s *shop, tx pgx.Tx, c claim) error
		want   error
		status status
		refund int64
	}{
		"the order is cancelled": {func(s *shop, tx pgx.Tx, c claim) error {
			return s.module.onOrderCancelled(t.Context(), tx, cancelOf(c.OrderID.String()))
		}, nil, refunding, 1},
		"another claims the attempt": {func(_ *shop, tx pgx.Tx, c claim) error {
			if _, err := db.New(tx).LockPayment(t.Context(), c.OrderID); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), "UPDATE attempts SET tries = tries + 1 WHERE id = $1", c.ID)
			return err
		}, errLeaseLost, pending, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.tell(due(uuid.NewString(), "tok_ok"))
			if _, err := s.module.claimDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			c, settled := <-s.module.claimed, make(chan error, 1)
			err := postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
				if err := test.beside(s, tx, c); err != nil {
					return err
				}
				go func() { settled <- s.module.settle(t.Context(), c, answer{outcome: approved, reference: "cap_1"}) }()
				s.until("the result waits", func() bool {
					return s.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
				})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-settled; !errors.Is(err, test.want) {
				t.Errorf("settle: %v, want %v", err, test.want)
			}
			if n := s.count("SELECT count(*) FROM payments WHERE status = $1", test.status); n != 1 {
				t.Errorf("the payment is not %s", test.status)
			}
			if n := s.count("SELECT count(*) FROM attempts WHERE kind = 'refund'"); n != test.refund {
				t.Errorf("%d refunds, want %d", n, test.refund)
			}
			if told := s.heardOf(c.OrderID.String()); told != nil {
				t.Errorf("told %v", told)
			}
		})
	}
}
