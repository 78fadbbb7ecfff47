package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
)

// cancelOrder cancels the customer's own order unless it is confirmed. Cancelling twice is cancelling once.
func (m *Module) cancelOrder(ctx context.Context, customerID string, id uuid.UUID) (db.Order, error) {
	var order db.Order
	err := pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) (err error) {
		if _, err = m.find(ctx, tx, customerID, id); err != nil {
			return err
		}
		var moved bool
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
	m.Wake()
	return order, nil
}

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
