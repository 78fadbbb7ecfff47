package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/platform/postgres"
)

// cancelOrder cancels the customer's own order unless it is confirmed. Cancelling twice is cancelling once. Nobody is asked whether
// stock is reserved or a payment is under way: whoever holds something for the order gives it back when it hears of the cancellation.
func (m *Module) cancelOrder(ctx context.Context, customerID string, id uuid.UUID) (db.Order, error) {
	var order db.Order
	var moved bool
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		// A move knows no customer, so whose order it is comes first.
		if _, err = m.find(ctx, tx, customerID, id); err != nil {
			return err
		}
		if order, moved, err = m.moveTx(ctx, tx, id, cancel); err != nil || moved {
			return err
		}
		// The order was final already, perhaps since a moment ago: read it again.
		if order, err = m.find(ctx, tx, customerID, id); err != nil {
			return err
		}
		if status(order.Status) == confirmed {
			return errConfirmed
		}
		return nil
	})
	if err != nil {
		return db.Order{}, err
	}
	if moved {
		m.outbox.Wake()
	}
	return order, nil
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
