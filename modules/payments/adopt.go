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

// patience is how long an attempt is overdue before it counts as abandoned by v0.1.0.
const patience = 10 * time.Second

// adopt makes jobs of the calls that v0.1.0 has left in the table attempts, with the same keys at
// the provider. Remove it, and then the table, once no release that writes there may still run.
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
				Args: call{
					OrderID: a.OrderID, Money: money{a.Amount, a.Currency}, Token: a.Token, Reference: a.Reference,
				},
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
