package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
)

// Handlers are orders' part in the saga: the facts that move an order on.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.On(m.onReserved),
		events.On(m.onRejected),
		events.On(m.onCaptured),
		events.On(m.onDeclined),
	}
}

func (m *Module) onReserved(ctx context.Context, tx pgx.Tx, e inventoryapi.Reserved) error {
	return m.followTx(ctx, tx, e.OrderID, reserve)
}

func (m *Module) onRejected(ctx context.Context, tx pgx.Tx, e inventoryapi.Rejected) error {
	return m.followTx(ctx, tx, e.OrderID, reject)
}

// onCaptured confirms the order. One that was cancelled meanwhile stays so: payments hears of the cancellation and refunds.
func (m *Module) onCaptured(ctx context.Context, tx pgx.Tx, e paymentsapi.Captured) error {
	return m.followTx(ctx, tx, e.OrderID, capture)
}

func (m *Module) onDeclined(ctx context.Context, tx pgx.Tx, e paymentsapi.Declined) error {
	return m.followTx(ctx, tx, e.OrderID, decline)
}

// followTx moves the order that another module's fact is about.
func (m *Module) followTx(ctx context.Context, tx pgx.Tx, orderID string, mv move) error {
	id, err := uuid.Parse(orderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	_, _, err = m.moveTx(ctx, tx, id, mv)
	return err
}
