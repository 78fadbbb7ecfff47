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

// Handlers are orders' part in the saga of an order, which it drives: each is a fact that moves an order on.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.On(m.onReserved).Wakes(m.outbox),
		events.On(m.onRejected).Wakes(m.outbox),
		events.On(m.onCaptured).Wakes(m.outbox),
		events.On(m.onDeclined).Wakes(m.outbox),
	}
}

// onReserved makes the payment due, and not earlier: no money is taken for what cannot be sent.
func (m *Module) onReserved(ctx context.Context, tx pgx.Tx, e inventoryapi.Reserved) error {
	return m.followTx(ctx, tx, e.OrderID, reserve)
}

// onRejected cancels the order before any money is asked for.
func (m *Module) onRejected(ctx context.Context, tx pgx.Tx, e inventoryapi.Rejected) error {
	return m.followTx(ctx, tx, e.OrderID, reject)
}

// onCaptured confirms the order. One that was cancelled meanwhile stays so: payments hears of the cancellation and refunds.
func (m *Module) onCaptured(ctx context.Context, tx pgx.Tx, e paymentsapi.Captured) error {
	return m.followTx(ctx, tx, e.OrderID, capture)
}

// onDeclined cancels the order. Inventory hears of it and gives the stock back.
func (m *Module) onDeclined(ctx context.Context, tx pgx.Tx, e paymentsapi.Declined) error {
	return m.followTx(ctx, tx, e.OrderID, decline)
}

// followTx moves the order that another module's fact is about. An order that is not there, or not where the move starts, stays as
// it is: facts come late, twice and in any order.
func (m *Module) followTx(ctx context.Context, tx pgx.Tx, orderID string, mv move) error {
	id, err := uuid.Parse(orderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	_, _, err = m.moveTx(ctx, tx, id, mv)
	return err
}
