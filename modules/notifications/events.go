package notifications

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/notifications/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Handlers are notifications' part in the saga of an order. They write rows and send nothing: a mail sent before the commit could
// not be taken back.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.On(m.onOrderPlaced),
		events.On(m.onOrderConfirmed).Wakes(m.sender),
		events.On(m.onOrderCancelled).Wakes(m.sender),
	}
}

// onOrderPlaced remembers where the order's mail goes. The customer has just placed the order, so there is nothing to tell:
// a mail that has waited for the address, because the events came in disorder, waits for the next poll as well.
func (m *Module) onOrderPlaced(ctx context.Context, tx pgx.Tx, e ordersapi.Placed) error {
	orderID, err := uuid.Parse(e.OrderID)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	err = db.New(postgres.Later(tx)).InsertRecipient(ctx, db.InsertRecipientParams{OrderID: orderID, Email: e.Email, Now: m.now()})
	if err != nil {
		return fmt.Errorf("insert recipient: %w", err)
	}
	return nil
}

// onOrderConfirmed writes the good news.
func (m *Module) onOrderConfirmed(ctx context.Context, tx pgx.Tx, e ordersapi.Confirmed) error {
	return m.writeTx(ctx, tx, e.OrderID, kindConfirmed, content{OrderID: e.OrderID, Total: price(e.Total.Amount, e.Total.Currency)})
}

// onOrderCancelled writes the bad news. An order is never both, but if it ever were, the customer should know of both.
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, e ordersapi.Cancelled) error {
	return m.writeTx(ctx, tx, e.OrderID, kindCancelled, content{OrderID: e.OrderID, Why: why(e.Reason)})
}

// writeTx writes the message that the sender will send, once per order and kind. The address need not be known yet.
func (m *Module) writeTx(ctx context.Context, tx pgx.Tx, order, kind string, c content) error {
	orderID, err := uuid.Parse(order)
	if err != nil {
		return fmt.Errorf("read order id: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make message id: %w", err)
	}
	subject, body, err := render(kind, c)
	if err != nil {
		return err
	}
	err = db.New(postgres.Later(tx)).InsertMessage(ctx, db.InsertMessageParams{
		ID: id, OrderID: orderID, Kind: kind, Subject: subject, Body: body,
		MessageID: messageID(orderID.String(), kind, string(m.cfg.From)), Now: m.now(),
	})
	if err != nil {
		return fmt.Errorf("insert message: %w", err)
	}
	return nil
}
