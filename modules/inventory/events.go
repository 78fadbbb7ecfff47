package inventory

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Handlers returns inventory's event handlers. What one writes, what it publishes and the inbox row
// commit together, in the consumer's transaction. Events that linger wait for others for 50 ms.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.OnBatch(m.onOrderPlaced),
		events.OnBatch(m.onOrderConfirmed).Linger(),
		events.On(m.onOrderCancelled).Linger(),
		events.Erases[ordersapi.Erased](), // no table of inventory names a customer
	}
}

// onOrderPlaced reserves all lines of an order and publishes Reserved, or publishes Rejected, once
// per order: one that has a reservation or a tombstone is skipped. Orders of a batch are judged one
// after the other, by what those before them leave on hand. Any batch takes two round trips:
//
//	BEGIN; INSERT inbox, reservations; lock stock, read what is on hand
//	INSERT reservation_lines; UPDATE stock; UPDATE reservations, of those rejected;
//	INSERT outbox, outbox_pending; COMMIT
func (m *Module) onOrderPlaced(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Placed]) error {
	ids, wanted := make([]uuid.UUID, len(batch)), make([][]line, len(batch))
	open := db.OpenReservationsParams{Now: m.now()}
	for i, d := range batch {
		var err error
		if ids[i], wanted[i], err = read(d.Event); err != nil {
			return fmt.Errorf("read placed order: %w", err)
		}
		for _, l := range wanted[i] {
			open.OrderIds, open.Skus = append(open.OrderIds, ids[i]), append(open.Skus, l.sku)
		}
	}
	queries := db.New(tx)
	opened, err := queries.OpenReservations(ctx, open)
	if err != nil {
		return fmt.Errorf("open reservations: %w", err)
	}
	unanswered, onHand := map[uuid.UUID]bool{}, map[string]int64{}
	for _, id := range opened.NewOrderIds {
		unanswered[id] = true
	}
	for i, sku := range opened.Skus {
		onHand[sku] = opened.OnHand[i]
	}
	var reserved db.ReserveParams
	var rejected []uuid.UUID
	for i, d := range batch {
		id := ids[i]
		if !unanswered[id] {
			continue
		}
		delete(unanswered, id)
		ctx := events.WithCause(ctx, d.Cause)
		if take(wanted[i], onHand) {
			for _, l := range wanted[i] {
				reserved.OrderIds, reserved.Skus = append(reserved.OrderIds, id), append(reserved.Skus, l.sku)
				reserved.Quantities = append(reserved.Quantities, l.quantity)
			}
			err = m.outbox.PublishTx(ctx, tx, inventoryapi.Reserved{OrderID: id.String(), Version: answerVersion})
		} else {
			rejected = append(rejected, id)
			rejection := inventoryapi.Rejected{OrderID: id.String(), Reason: reasonOutOfStock, Version: answerVersion}
			err = m.outbox.PublishTx(ctx, tx, rejection)
		}
		if err != nil {
			return err
		}
	}
	postgres.Queue(tx, queries.Reserve, reserved)
	if len(rejected) > 0 {
		postgres.Queue(tx, queries.Reject, rejected)
	}
	return nil
}

// onOrderConfirmed ships the reserved pieces, and publishes nothing. A confirmed order has a
// reservation: orders confirms none before it has handled Reserved.
//
//	BEGIN; INSERT inbox; UPDATE reservations, stock; COMMIT
func (m *Module) onOrderConfirmed(_ context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Confirmed]) error {
	ids := make([]uuid.UUID, len(batch))
	for i, d := range batch {
		var err error
		if ids[i], err = uuid.Parse(d.Event.OrderID); err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
	}
	postgres.Queue(tx, db.New(tx).Ship, db.ShipParams{OrderIds: ids, Now: m.now()})
	return nil
}

// onOrderCancelled releases reserved pieces, or inserts a tombstone if orders.placed.v1 has yet to
// come. The tombstone is tried first, which is right even without the consumers' turn: its INSERT
// waits for a concurrent reservation, which Release then sees.
//
//	BEGIN; INSERT inbox, reservations (a tombstone)
//	UPDATE reservations, stock, if there was none to insert; COMMIT
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, e ordersapi.Cancelled) error {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	made, err := db.New(tx).InsertTombstone(ctx, db.InsertTombstoneParams{OrderID: orderID, Now: m.now()})
	if err != nil {
		return fmt.Errorf("insert tombstone: %w", err)
	}
	if made == 0 {
		postgres.Queue(tx, db.New(tx).Release, db.ReleaseParams{OrderID: orderID, Now: m.now()})
	}
	return nil
}

// read returns the order's id and its merged lines.
func read(e ordersapi.Placed) (uuid.UUID, []line, error) {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return uuid.Nil, nil, err
	}
	lines := make([]line, len(e.Lines))
	for i, l := range e.Lines {
		lines[i] = line{sku: l.SKU, quantity: int64(l.Quantity)}
	}
	wanted, err := merge(lines)
	return orderID, wanted, err
}
