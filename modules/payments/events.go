package payments

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
)

// Handlers are payments' part in the saga of an order. They enqueue captures and refunds; jobs call the provider.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.OnBatch(m.onPaymentDue),
		events.On(m.onOrderCancelled),
	}
}

// onPaymentDue writes the payments and enqueues their captures, whose key at the provider is the payment's id. A row that is there
// already is the same payment, or the tombstone of an order that was cancelled first: either way there is nothing to do.
func (m *Module) onPaymentDue(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.PaymentDue]) error {
	due := db.InsertPaymentsParams{Now: m.now()}
	captures := map[uuid.UUID]events.Delivery[ordersapi.PaymentDue]{}
	for _, d := range batch {
		orderID, err := uuid.Parse(d.Event.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		if err := checkDue(money(d.Event.Amount), d.Event.PaymentToken); err != nil {
			return err
		}
		id := uuid.Must(uuid.NewV7())
		due.OrderIds, due.Ids = append(due.OrderIds, orderID), append(due.Ids, id)
		due.Amounts, due.Currencies = append(due.Amounts, d.Event.Amount.Amount), append(due.Currencies, d.Event.Amount.Currency)
		captures[id] = d
	}
	made, err := db.New(tx).InsertPayments(ctx, due)
	if err != nil {
		return fmt.Errorf("insert payments: %w", err)
	}
	for _, id := range made {
		d := captures[id]
		err := m.captures.EnqueueTx(events.WithCause(ctx, d.Cause), tx, jobs.Job[charge]{
			ID: id, Key: d.Event.OrderID, Args: charge{Money: money(d.Event.Amount), Token: d.Event.PaymentToken},
		})
		if err != nil {
			return err
		}
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
	made, err := db.New(tx).InsertTombstone(ctx, db.InsertTombstoneParams{OrderID: orderID, ID: uuid.Must(uuid.NewV7()), Now: m.now()})
	switch {
	case err != nil:
		return fmt.Errorf("insert tombstone: %w", err)
	case made == 1: // nothing was due
		return nil
	}
	id, err := db.New(tx).PaymentOf(ctx, orderID)
	if err != nil {
		return fmt.Errorf("read payment: %w", err)
	}
	withdrawn, err := m.captures.WithdrawTx(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return err
	}
	learned := news{what: cancelLate, cause: events.CauseOf(ctx)}
	if len(withdrawn) == 1 {
		learned.what = cancelInTime
	}
	return m.moveTx(ctx, tx, true, map[uuid.UUID]news{orderID: learned})
}
