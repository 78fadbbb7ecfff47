package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/postgres"
)

// Handlers are payments' part in the saga of an order. They enqueue captures and refunds; jobs call the provider.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.OnBatch(m.onPaymentDue),
		events.OnBatch(m.onOrderCancelled),
	}
}

// onPaymentDue writes the payments and enqueues their captures, whose key at the provider is the payment's id. A row that is there
// already is the same payment, or the tombstone of an order that was cancelled first: either way there is nothing to do.
func (m *Module) onPaymentDue(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.PaymentDue]) error {
	due := db.InsertPaymentsParams{Now: m.now()}
	captures := map[uuid.UUID]jobs.Job[call]{}
	for _, d := range batch {
		orderID, err := uuid.Parse(d.Event.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		amount := money(d.Event.Amount)
		if err := checkDue(amount, d.Event.PaymentToken); err != nil {
			return err
		}
		id := uuid.Must(uuid.NewV7())
		due.OrderIds, due.Ids = append(due.OrderIds, orderID), append(due.Ids, id)
		due.Amounts, due.Currencies = append(due.Amounts, amount.Amount), append(due.Currencies, amount.Currency)
		captures[id] = jobs.Job[call]{
			ID: id, Key: orderID.String(), Cause: d.Cause,
			Args: call{OrderID: orderID, Money: amount, Token: d.Event.PaymentToken},
		}
	}
	made, err := db.New(tx).InsertPayments(ctx, due)
	if err != nil {
		return fmt.Errorf("insert payments: %w", err)
	}
	for _, id := range made {
		job := captures[id]
		if err := m.captures.EnqueueTx(events.WithCause(ctx, job.Cause), tx, job); err != nil {
			return err
		}
	}
	return nil
}

// onOrderCancelled stops captures that have not begun, and gives back what was taken. The tombstones are tried first: an insert waits
// for a payment in the making, which the statements after it then see.
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Cancelled]) error {
	now := m.now()
	tombstones, byOrder := db.InsertTombstonesParams{Now: now}, map[uuid.UUID]learned{}
	for _, d := range batch {
		orderID, err := uuid.Parse(d.Event.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		tombstones.OrderIds, tombstones.Ids = append(tombstones.OrderIds, orderID), append(tombstones.Ids, uuid.Must(uuid.NewV7()))
		byOrder[orderID] = learned{news: cancelLate, cause: d.Cause}
	}
	postgres.Queue(tx, db.New(tx).InsertTombstones, tombstones)
	due, err := db.New(tx).ListDue(ctx, tombstones.OrderIds)
	if err != nil {
		return fmt.Errorf("list due: %w", err)
	}
	orders := map[uuid.UUID]uuid.UUID{} // by their payments
	for _, p := range due {
		orders[p.ID] = p.OrderID
	}
	withdrawn, err := m.captures.WithdrawTx(ctx, tx, slices.Collect(maps.Keys(orders)))
	if err != nil {
		return err
	}
	for _, id := range withdrawn {
		byOrder[orders[id]] = learned{news: cancelInTime, cause: byOrder[orders[id]].cause}
	}
	return m.moveTx(ctx, tx, byOrder, &now)
}
