package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
)

// patience is how long an attempt may be overdue before no process of v0.1.0 is thought to be there
// for it.
const patience = 10 * time.Second

// adopt makes jobs of the calls that processes of v0.1.0 have left in the table attempts, with the
// same keys at the provider. It goes, and the table after it, once no release writes there that may
// still run.
func (m *Module) adopt(ctx context.Context) (more bool, err error) {
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		attempts, err := db.New(tx).TakeAttempts(ctx, m.now().Add(-patience))
		if err != nil {
			return fmt.Errorf("take attempts: %w", err)
		}
		for _, a := range attempts {
			queue := m.captures
			if a.Kind == "refund" {
				queue = m.refunds
			}
			err := queue.EnqueueTx(events.WithCause(ctx, a.Cause), tx, jobs.Job[call]{
				ID: a.ID, Key: a.OrderID.String(), Tries: int(a.Tries),
				Args: call{OrderID: a.OrderID, Money: money{a.Amount, a.Currency}, Token: a.Token, Reference: a.Reference},
			})
			if err != nil {
				return err
			}
		}
		more = len(attempts) > 0
		return nil
	})
	return more, err
}
