package notifications

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/notifications/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Handlers returns notifications' event handlers. Messages, enqueued mails and the inbox row commit
// together, in the consumer's transaction. Jobs send after that: a sent mail cannot be rolled back.
// Then the messages are marked in the transaction that deletes the jobs; after a crash before that
// a mail is sent again, under the same Message-ID. All linger: events wait for others for 50 ms.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.OnBatch(m.onOrderPlaced).Linger(),
		events.OnBatch(m.onOrderConfirmed).Linger(),
		events.OnBatch(m.onOrderCancelled).Linger(),
		events.OnBatch(m.onOrderErased).Linger(),
	}
}

// onOrderPlaced stores the customers' addresses, and enqueues the mails of orders whose confirmed
// or cancelled event came first: the text of their messages moves into the jobs.
//
//	BEGIN; INSERT inbox, recipients; UPDATE messages
//	INSERT jobs; COMMIT
func (m *Module) onOrderPlaced(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Placed]) error {
	recipients := db.InsertRecipientsParams{Now: m.now()}
	causes := map[uuid.UUID]events.Cause{}
	for _, d := range batch {
		orderID, err := uuid.Parse(d.Event.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		recipients.OrderIds = append(recipients.OrderIds, orderID)
		recipients.Emails = append(recipients.Emails, d.Event.Email)
		causes[orderID] = d.Cause
	}
	postgres.Queue(tx, db.New(tx).InsertRecipients, recipients)
	return m.enqueueWaitingTx(ctx, tx, recipients.OrderIds, causes)
}

// onOrderConfirmed writes the messages of confirmed orders, and enqueues their mails.
func (m *Module) onOrderConfirmed(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Confirmed]) error {
	return writeTx(ctx, m, tx, kindConfirmed, batch, func(e ordersapi.Confirmed) content {
		return content{OrderID: e.OrderID, Total: price(e.Total.Amount, e.Total.Currency)}
	})
}

// onOrderCancelled writes the messages of cancelled orders, and enqueues their mails. An order is
// never both confirmed and cancelled; if it ever were, the customer would get both mails.
func (m *Module) onOrderCancelled(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Cancelled]) error {
	return writeTx(ctx, m, tx, kindCancelled, batch, func(e ordersapi.Cancelled) content {
		return content{OrderID: e.OrderID, Why: why(e.Reason)}
	})
}

// writeTx inserts messages, one per order and kind, and enqueues their mails. One whose address is
// not known waits for orders.placed.v1. One to a mailbox that has had Config.MaxPerHour of them is
// withheld for good, because a customer may give a stranger's address.
//
//	BEGIN; INSERT inbox, messages
//	INSERT jobs; COMMIT
func writeTx[E events.Event](
	ctx context.Context, m *Module, tx pgx.Tx, kind string, batch []events.Delivery[E], contentOf func(E) content,
) error {
	now := m.now()
	messages := db.InsertMessagesParams{Kind: kind, Since: now.Add(-time.Hour), Most: int64(m.cfg.MaxPerHour), Now: now}
	for _, d := range batch {
		c := contentOf(d.Event)
		orderID, err := uuid.Parse(c.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		subject, body, err := render(kind, c)
		if err != nil {
			return err
		}
		messages.Ids = append(messages.Ids, uuid.Must(uuid.NewV7()))
		messages.OrderIds = append(messages.OrderIds, orderID)
		messages.Subjects = append(messages.Subjects, subject)
		messages.Bodies = append(messages.Bodies, body)
		messages.MessageIds = append(messages.MessageIds, messageID(orderID.String(), kind, string(m.cfg.From)))
	}
	ready, err := db.New(tx).InsertMessages(ctx, messages)
	if err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	for _, r := range ready {
		i := slices.Index(messages.Ids, r.ID)
		mail := mail{
			To: r.Email, Subject: messages.Subjects[i], Body: messages.Bodies[i], MessageID: messages.MessageIds[i],
		}
		if err := m.enqueueTx(ctx, tx, batch[i].Cause, r.ID, messages.OrderIds[i], mail); err != nil {
			return err
		}
	}
	return nil
}
