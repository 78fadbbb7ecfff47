package orders

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// moveTx moves the orders with one UPDATE, and publishes the event of each, with its own cause. An
// order that is in no state where the move starts stays as it is: the event is late or a duplicate.
func (m *Module) moveTx(ctx context.Context, tx pgx.Tx, mv move, causes map[uuid.UUID]events.Cause) error {
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
	moved, err := db.New(tx).MoveOrders(ctx, params)
	if err != nil {
		return fmt.Errorf("move orders to %s: %w", mv.to, err)
	}
	for _, order := range moved {
		if err := m.outbox.PublishTx(events.WithCause(ctx, causes[order.ID]), tx, factOf(order)); err != nil {
			return err
		}
	}
	return nil
}

// factOf returns the event to publish for an order that has just moved.
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
