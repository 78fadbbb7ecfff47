package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/platform/events"
)

// expiryBatch is how many orders one transaction expires at most.
const expiryBatch = 100

// expireOverdue cancels orders whose deadline has passed, and reports whether there may be more.
// Handlers of the event release stock, and refund even a capture that is approved later.
func (m *Module) expireOverdue(ctx context.Context) (more bool, err error) {
	now := m.now()
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		ids, err := db.New(tx).LockOverdueOrders(ctx, db.LockOverdueOrdersParams{Now: &now, Most: expiryBatch})
		if err != nil {
			return fmt.Errorf("lock overdue orders: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		more = len(ids) == expiryBatch
		causes := map[uuid.UUID]events.Cause{}
		for _, id := range ids {
			causes[id] = events.CauseOf(ctx)
		}
		_, err = m.moveTx(ctx, tx, expire, causes)
		return err
	})
	return more, err
}
