package orders

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
)

// Handlers returns orders' event handlers, which drive the saga. A move, the event that it
// publishes and the inbox row commit together, in the consumer's transaction.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		// Payment is due only once stock is reserved: no money is taken for what cannot be sent.
		events.OnBatch(follow[inventoryapi.Reserved](m, reserve)),
		events.OnBatch(follow[inventoryapi.Rejected](m, reject)),
		// A capture of a cancelled order moves nothing: payments refunds it on orders.cancelled.v1.
		events.OnBatch(follow[paymentsapi.Captured](m, capture)),
		events.OnBatch(follow[paymentsapi.Declined](m, decline)),
	}
}

// follow returns a handler that moves the orders of a batch. Events may come late, more than once
// and out of order: see moveTx.
func follow[E events.Event](m *Module, mv move) func(context.Context, pgx.Tx, []events.Delivery[E]) error {
	return func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[E]) error {
		causes := map[uuid.UUID]events.Cause{}
		for _, d := range slices.Backward(batch) { // of two events for one order, the first is the cause
			order, _ := d.Event.Aggregate()
			id, err := uuid.Parse(order)
			if err != nil {
				return fmt.Errorf("read order id: %w", err)
			}
			causes[id] = d.Cause
		}
		return m.moveTx(ctx, tx, mv, causes)
	}
}
