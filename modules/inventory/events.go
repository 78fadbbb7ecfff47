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

// Handlers are inventory's part in the saga of an order.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.On(m.onOrderPlaced).Wakes(m.outbox),
		events.On(m.onOrderConfirmed),
		events.On(m.onOrderCancelled),
	}
}

// onOrderPlaced answers every order once: with Reserved if all of it can be sent, else with Rejected.
// An order that is known already, be it as a tombstone, gets no second answer.
//
// Every order of the shop comes through here, so it waits for one answer whatever the number of lines: what is on hand.
func (m *Module) onOrderPlaced(ctx context.Context, tx pgx.Tx, e ordersapi.Placed) error {
	orderID, wanted, err := read(e)
	if err != nil {
		return fmt.Errorf("read placed order: %w", err)
	}
	skus, quantities := make([]string, len(wanted)), make([]int64, len(wanted))
	for i, l := range wanted {
		skus[i], quantities[i] = l.sku, l.quantity
	}
	queries := db.New(postgres.Later(tx))

	rows, err := queries.OpenReservation(ctx, db.OpenReservationParams{OrderID: orderID, Now: m.now(), Skus: skus})
	switch {
	case err != nil:
		return fmt.Errorf("open reservation: %w", err)
	case len(rows) == 0: // known already
		return nil
	}
	// A sku without a row is not in the map, so nothing of it is on hand: an unknown product is out of stock.
	onHand := make(map[string]int64, len(rows))
	for _, row := range rows {
		onHand[row.Sku] = row.OnHand
	}
	if !covered(wanted, onHand) {
		if err := queries.Reject(ctx, orderID); err != nil {
			return fmt.Errorf("reject order: %w", err)
		}
		rejected := inventoryapi.Rejected{OrderID: orderID.String(), Reason: reasonOutOfStock, Version: answerVersion}
		return events.PublishTx(ctx, tx, rejected)
	}
	if err := queries.Reserve(ctx, db.ReserveParams{OrderID: orderID, Skus: skus, Quantities: quantities}); err != nil {
		return fmt.Errorf("reserve stock: %w", err)
	}
	return events.PublishTx(ctx, tx, inventoryapi.Reserved{OrderID: orderID.String(), Version: answerVersion})
}

// onOrderConfirmed sends the reserved pieces off. Nobody waits for that, so nothing is published. An order without a
// reservation has nothing to ship; orders confirms none before it has heard Reserved.
func (m *Module) onOrderConfirmed(ctx context.Context, tx pgx.Tx, e ordersapi.Confirmed) error {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	if err := db.New(postgres.Later(tx)).Ship(ctx, db.ShipParams{OrderID: orderID, Now: m.now()}); err != nil {
		return fmt.Errorf("ship stock: %w", err)
	}
	return nil
}

// onOrderCancelled gives reserved pieces back, or leaves a tombstone if the placed has yet to come.
// The tombstone is tried first: its insert waits for a reservation in the making, which Release then sees.
// The other way round, a reservation made between the two statements would keep its stock for ever.
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, e ordersapi.Cancelled) error {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	made, err := db.New(tx).Entomb(ctx, db.EntombParams{OrderID: orderID, Now: m.now()})
	switch {
	case err != nil:
		return fmt.Errorf("insert tombstone: %w", err)
	case made == 1: // nothing was reserved
		return nil
	}
	if err := db.New(postgres.Later(tx)).Release(ctx, db.ReleaseParams{OrderID: orderID, Now: m.now()}); err != nil {
		return fmt.Errorf("release stock: %w", err)
	}
	return nil
}

// read takes from the event what inventory needs, and refuses an order that no rule could answer: it becomes a dead letter
// that somebody looks at, and the saga's deadline cancels the order.
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
