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

// Handlers are orders' part in the saga, which it drives: each event moves its order on.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		// The payment is due now, and not earlier: no money is taken for what cannot be sent.
		events.OnBatch(follow[inventoryapi.Reserved](m, reserve)),
		events.OnBatch(follow[inventoryapi.Rejected](m, reject)),
		// An order that was cancelled meanwhile stays so: payments handles the cancellation, and
		// refunds.
		events.OnBatch(follow[paymentsapi.Captured](m, capture)),
		events.OnBatch(follow[paymentsapi.Declined](m, decline)),
	}
}

// follow returns a handler that moves the orders of a batch. Events may come late, twice and in any
// order: see moveTx.
func follow[E events.Event](m *Module, mv move) func(context.Context, pgx.Tx, []events.Delivery[E]) error {
	return func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[E]) error {
		causes := map[uuid.UUID]events.Cause{}
		for _, d := range slices.Backward(batch) { // of two for one order, the first moves it
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
