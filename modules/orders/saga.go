package orders

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
)

// Handlers returns orders' event handlers, which drive the saga. A move, the event that it
// publishes and the inbox row commit together, in the consumer's transaction:
//
//	BEGIN; INSERT inbox; UPDATE orders
//	INSERT outbox, outbox_pending; COMMIT
//
//	placed ──reserved──▶ awaiting_payment ──captured──▶ confirmed
//	   └────rejected─────────────┴────declined─────────▶ cancelled
//
// The deadline of each state (expire.go) and the customer (cancel.go) cancel by moveTx as well.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		// Payment is due only once stock is reserved: no money is taken for what cannot be sent.
		events.OnBatch(follow[inventoryapi.Reserved](m, reserve)),
		events.OnBatch(follow[inventoryapi.Rejected](m, reject)),
		// A capture of a cancelled order moves nothing: payments refunds it on orders.cancelled.v1.
		events.OnBatch(follow(m, capture, inFull)),
		events.OnBatch(follow[paymentsapi.Declined](m, decline)),
	}
}

// follow returns a handler that moves the orders of a batch. Each check is given an order that has
// moved, and the event that moved it; its error undoes the move.
func follow[E events.Event](
	m *Module, mv move, checks ...func(db.Order, E) error,
) func(context.Context, pgx.Tx, []events.Delivery[E]) error {
	return func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[E]) error {
		causes, moving := map[uuid.UUID]events.Cause{}, map[uuid.UUID]E{}
		for _, d := range slices.Backward(batch) { // of two events for one order, the first is the cause
			order, _ := d.Event.Aggregate()
			id, err := uuid.Parse(order)
			if err != nil {
				return fmt.Errorf("read order id: %w", err)
			}
			causes[id], moving[id] = d.Cause, d.Event
		}
		moved, err := m.moveTx(ctx, tx, mv, causes)
		if err != nil {
			return err
		}
		for _, order := range moved {
			for _, check := range checks {
				if err := check(order, moving[order.ID]); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

var errNotInFull = errors.New("the captured amount is not what was due")

// inFull refuses a capture of another amount or currency than was due. The order stays as it is and
// expires: then payments refunds what it has captured.
func inFull(o db.Order, e paymentsapi.Captured) error {
	if e.Amount.Amount != o.Total || e.Amount.Currency != o.Currency {
		return events.Final(errNotInFull)
	}
	return nil
}

// moveTx moves the orders with one UPDATE, and publishes the event of each, with its own cause. An
// order that is in no state where the move starts stays as it is: the event is late or a duplicate.
// None is early, because each event is caused by the move before. It returns those that have moved.
func (m *Module) moveTx(
	ctx context.Context, tx pgx.Tx, mv move, causes map[uuid.UUID]events.Cause,
) (moved []db.Order, err error) {
	params := db.MoveOrdersParams{
		Ids: slices.Collect(maps.Keys(causes)), ToStatus: string(mv.to), Reason: mv.reason, Now: m.now(),
	}
	for _, s := range mv.from {
		params.FromStatuses = append(params.FromStatuses, string(s))
	}
	if !mv.to.final() { // the next state has a deadline of its own, counted from now
		deadline := params.Now.Add(m.cfg.Deadline)
		params.Deadline = &deadline
	}
	moved, err = db.New(tx).MoveOrders(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("move orders to %s: %w", mv.to, err)
	}
	for _, order := range moved {
		if err := m.outbox.PublishTx(events.WithCause(ctx, causes[order.ID]), tx, factOf(order)); err != nil {
			return nil, err
		}
	}
	return moved, nil
}

// factOf returns the event to publish for an order that has just moved.
func factOf(o db.Order) events.Event {
	id, amount := o.ID.String(), ordersapi.Money{Amount: o.Total, Currency: o.Currency}
	switch status(o.Status) {
	case awaitingPayment: // it has a deadline, after which the payment token is of no use
		due := ordersapi.PaymentDue{OrderID: id, Amount: amount, PaymentToken: o.PaymentToken, Version: o.Version}
		return events.Until(due, *o.Deadline)
	case confirmed:
		return ordersapi.Confirmed{OrderID: id, Total: amount, Version: o.Version}
	default:
		return ordersapi.Cancelled{OrderID: id, Reason: o.Reason, Version: o.Version}
	}
}
