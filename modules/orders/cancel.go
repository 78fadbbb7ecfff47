package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/platform/events"
)

// cancelOrder cancels the customer's own order and returns it, also if it is cancelled already;
// errConfirmed if it is confirmed. The handlers of the event release stock and refund money.
func (m *Module) cancelOrder(ctx context.Context, customerID string, id uuid.UUID) (order db.Order, err error) {
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		// moveTx does not look at the customer. Another customer's order is not even locked.
		if _, err := m.find(ctx, tx, customerID, id); err != nil {
			return err
		}
		if _, err := m.moveTx(ctx, tx, cancel, map[uuid.UUID]events.Cause{id: events.CauseOf(ctx)}); err != nil {
			return err
		}
		// It was moved now, or was final already, perhaps by a concurrent move.
		if order, err = m.find(ctx, tx, customerID, id); err == nil && status(order.Status) == confirmed {
			return errConfirmed
		}
		return err
	})
	return order, err
}

// find reads the customer's own order; another customer's is errNotFound, as if there were none.
func (m *Module) find(ctx context.Context, conn db.DBTX, customerID string, id uuid.UUID) (db.Order, error) {
	order, err := db.New(conn).GetOrder(ctx, db.GetOrderParams{ID: id, CustomerID: customerID})
	if errors.Is(err, pgx.ErrNoRows) {
		return db.Order{}, errNotFound
	}
	if err != nil {
		return db.Order{}, fmt.Errorf("get order: %w", err)
	}
	return order, nil
}
