package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// moveTx moves the order and publishes the fact, or reports false when the order is not where the move starts: then the fact that
// asked for it is late or came twice, which is no error.
func (m *Module) moveTx(ctx context.Context, tx pgx.Tx, id uuid.UUID, mv move) (order db.Order, moved bool, err error) {
	now := m.now()
	params := db.MoveOrderParams{ID: id, ToStatus: string(mv.to), Reason: mv.reason, Now: now}
	for _, s := range mv.from {
		params.FromStatuses = append(params.FromStatuses, string(s))
	}
	if !mv.to.final() { // the next wait has a deadline of its own, counted from now
		deadline := now.Add(m.cfg.Deadline)
		params.Deadline = &deadline
	}
	order, err = db.New(tx).MoveOrder(ctx, params)
	if errors.Is(err, pgx.ErrNoRows) {
		return db.Order{}, false, nil
	}
	if err != nil {
		return db.Order{}, false, fmt.Errorf("move order to %s: %w", mv.to, err)
	}
	return order, true, events.PublishTx(ctx, tx, factOf(order))
}

// factOf is what others are told about an order that has just moved.
func factOf(o db.Order) events.Event {
	id, amount := o.ID.String(), ordersapi.Money{Amount: o.Total, Currency: o.Currency}
	switch status(o.Status) {
	case awaitingPayment:
		return ordersapi.PaymentDue{OrderID: id, Amount: amount, PaymentToken: o.PaymentToken, Version: o.Version}
	case confirmed:
		return ordersapi.Confirmed{OrderID: id, Total: amount, Version: o.Version}
	default:
		return ordersapi.Cancelled{OrderID: id, Reason: o.Reason, Version: o.Version}
	}
}

// expiryBatch keeps the transaction that expires orders short.
const expiryBatch = 100

// expireOverdue cancels orders whose deadline has passed. Stock and money follow from the event: inventory releases, payments
// refunds even a capture that arrives later.
func (m *Module) expireOverdue(ctx context.Context) (more bool, err error) {
	now := m.now()
	var ids []uuid.UUID
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		ids, err = db.New(tx).LockOverdueOrders(ctx, db.LockOverdueOrdersParams{Now: &now, Most: expiryBatch})
		if err != nil {
			return fmt.Errorf("lock overdue orders: %w", err)
		}
		for _, id := range ids {
			if _, _, err := m.moveTx(ctx, tx, id, expire); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return false, err
	}
	m.outbox.Wake()
	return len(ids) == expiryBatch, nil
}
