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
	"example.com/shop/platform/postgres"
)

// onOrderCancelled withdraws captures that were never claimed, and enqueues refunds of what was
// captured. The tombstones are tried first, which is right even without the consumers' turn: their
// INSERT waits for a concurrent payment, which the statements after it then see.
//
//	BEGIN; INSERT inbox, payments (tombstones); read the other payments
//	DELETE jobs
//	lock payments
//	UPDATE payments; INSERT jobs; COMMIT
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Cancelled]) error {
	now := m.now()
	tombstones, byOrder := db.InsertTombstonesParams{Now: now}, map[uuid.UUID]learned{}
	for _, d := range batch {
		orderID, err := uuid.Parse(d.Event.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		tombstones.OrderIds = append(tombstones.OrderIds, orderID)
		tombstones.Ids = append(tombstones.Ids, uuid.Must(uuid.NewV7()))
		byOrder[orderID] = learned{trigger: cancelLate, cause: d.Cause}
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
		byOrder[orders[id]] = learned{trigger: cancelInTime, cause: byOrder[orders[id]].cause}
	}
	return m.moveTx(ctx, tx, byOrder, &now)
}
