package payments

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Handlers are payments' part in the saga of an order. They write attempts; the worker acts on them.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.On(m.onPaymentDue).Wakes(m.claimer),
		events.On(m.onOrderCancelled).Wakes(m.claimer),
	}
}

// onPaymentDue writes the payment and the attempt to capture it. A row that is there already is the same payment, or the
// tombstone of an order that was cancelled first: either way there is nothing to do.
func (m *Module) onPaymentDue(ctx context.Context, tx pgx.Tx, e ordersapi.PaymentDue) error {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	if err := checkDue(money{e.Amount.Amount, e.Amount.Currency}, e.PaymentToken); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make payment id: %w", err)
	}
	key, err := uuid.NewV7() // what every try of the capture will use
	if err != nil {
		return fmt.Errorf("make capture key: %w", err)
	}
	err = db.New(postgres.Later(tx)).InsertPayment(ctx, db.InsertPaymentParams{
		OrderID: orderID, ID: id, Amount: e.Amount.Amount, Currency: e.Amount.Currency, Token: e.PaymentToken,
		AttemptID: key, Cause: events.CauseOf(ctx), Now: m.now(),
	})
	if err != nil {
		return fmt.Errorf("insert payment: %w", err)
	}
	return nil
}

// onOrderCancelled stops a capture that has not begun, and gives back what was taken. The tombstone is tried first: its
// insert waits for a payment in the making, which the lock after it then sees.
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, e ordersapi.Cancelled) error {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make payment id: %w", err)
	}
	queries := db.New(tx)
	made, err := queries.InsertTombstone(ctx, db.InsertTombstoneParams{OrderID: orderID, ID: id, Now: m.now()})
	switch {
	case err != nil:
		return fmt.Errorf("insert tombstone: %w", err)
	case made == 1: // nothing was due
		return nil
	}
	p, err := queries.LockPayment(ctx, orderID)
	if err != nil {
		return fmt.Errorf("lock payment: %w", err)
	}
	unclaimed, err := queries.WithdrawCapture(ctx, db.WithdrawCaptureParams{OrderID: orderID, Now: m.now()})
	if err != nil {
		return fmt.Errorf("withdraw capture: %w", err)
	}
	if p.CancelledAt == nil {
		now := m.now()
		p.CancelledAt = &now
	}
	if unclaimed == 1 {
		return m.moveTx(ctx, tx, p, cancelInTime, "")
	}
	return m.moveTx(ctx, tx, p, cancelLate, "")
}
