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

// cancelOrder cancels the customer's own order unless it is confirmed. Cancelling twice is
// cancelling once. Reserved stock and a payment under way are given back by the handlers of the
// event.
func (m *Module) cancelOrder(ctx context.Context, customerID string, id uuid.UUID) (order db.Order, err error) {
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		// A move knows no customer, so whose order it is comes first: another's is not even locked.
		if _, err := m.find(ctx, tx, customerID, id); err != nil {
			return err
		}
		if err := m.moveTx(ctx, tx, cancel, map[uuid.UUID]events.Cause{id: events.CauseOf(ctx)}); err != nil {
			return err
		}
		// It was moved, or it was final already, perhaps since a moment ago.
		if order, err = m.find(ctx, tx, customerID, id); err == nil && status(order.Status) == confirmed {
			return errConfirmed
		}
		return err
	})
	return order, err
}

// find reads the customer's own order; another's is not found, as if there were none.
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
