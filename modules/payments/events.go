package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/postgres"
)

// Handlers returns payments' event handlers. What one writes and enqueues and the inbox row commit
// together, in the consumer's transaction. Jobs call the provider after that.
func (m *Module) Handlers() []events.Handler {
	return []events.Handler{
		events.OnBatch(m.onPaymentDue),
		events.OnBatch(m.onOrderCancelled),
		events.Erases[ordersapi.Erased](), // a payment names no customer, and its refund is still owed
	}
}

// onPaymentDue inserts payments and enqueues their captures, whose key at the provider is the
// payment's id. It skips an order that has a row: a duplicate, or the tombstone of a cancellation.
//
//	BEGIN; INSERT inbox, payments
//	INSERT jobs; COMMIT
func (m *Module) onPaymentDue(ctx context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.PaymentDue]) error {
	due := db.InsertPaymentsParams{Now: m.now()}
	captures := map[uuid.UUID]jobs.Job[call]{}
	for _, d := range batch {
		orderID, err := uuid.Parse(d.Event.OrderID)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		amount := money(d.Event.Amount)
		if err := checkDue(amount, d.Event.PaymentToken); err != nil {
			return err
		}
		id := uuid.Must(uuid.NewV7())
		due.OrderIds, due.Ids = append(due.OrderIds, orderID), append(due.Ids, id)
		due.Amounts, due.Currencies = append(due.Amounts, amount.Amount), append(due.Currencies, amount.Currency)
		captures[id] = jobs.Job[call]{
			ID: id, Key: orderID.String(), Cause: d.Cause,
			Args: call{OrderID: orderID, Money: amount, Token: d.Event.PaymentToken},
		}
	}
	made, err := db.New(tx).InsertPayments(ctx, due)
	if err != nil {
		return fmt.Errorf("insert payments: %w", err)
	}
	for _, id := range made {
		job := captures[id]
		if err := m.captures.EnqueueTx(events.WithCause(ctx, job.Cause), tx, job); err != nil {
			return err
		}
	}
	return nil
}

// learned is what a payment is moved by, with its data.
type learned struct {
	trigger   trigger
	reference string       // the provider's name for an approved capture
	reason    string       // of a refusal
	cause     events.Cause // of what is published because of it
}

// settleTx commits the outcomes of calls, in the transaction that deletes their jobs. An approved
// capture makes a pending payment captured, or, if the order was cancelled since the job was first
// claimed, has it refunded. Only here, under the lock, can that be decided.
//
//	BEGIN; DELETE jobs; lock payments
//	UPDATE payments; INSERT outbox, outbox_pending, or jobs (a refund); COMMIT
func (m *Module) settleTx(ctx context.Context, tx pgx.Tx, done []jobs.Done[call, learned]) error {
	byOrder := map[uuid.UUID]learned{}
	for _, d := range done {
		d.Result.cause = d.Cause
		byOrder[d.Args.OrderID] = d.Result
	}
	return m.moveTx(ctx, tx, byOrder, nil)
}

// moveTx moves the payments along the arrows of their triggers (payment.go), and publishes the
// event or enqueues the refund that follows. A trigger without an arrow is a duplicate or late, and
// changes nothing.
func (m *Module) moveTx(ctx context.Context, tx pgx.Tx, byOrder map[uuid.UUID]learned, cancelledAt *time.Time) error {
	payments, err := db.New(tx).LockPayments(ctx, slices.Collect(maps.Keys(byOrder)))
	if err != nil {
		return fmt.Errorf("lock payments: %w", err)
	}
	moved := db.MovePaymentsParams{CancelledAt: cancelledAt, Now: m.now()}
	for _, p := range payments {
		l := byOrder[p.OrderID]
		to := status(p.Status).after(l.trigger)
		if to == status(p.Status) {
			continue
		}
		p.Status, p.Version = string(to), p.Version+1
		if l.trigger == captureApproved {
			p.Reference = l.reference
		}
		moved.OrderIds, moved.Statuses = append(moved.OrderIds, p.OrderID), append(moved.Statuses, p.Status)
		moved.Refs, moved.Versions = append(moved.Refs, p.Reference), append(moved.Versions, p.Version)
		if err := m.followTx(events.WithCause(ctx, l.cause), tx, p, l.reason); err != nil {
			return err
		}
	}
	postgres.Queue(tx, db.New(tx).MovePayments, moved)
	return nil
}

// followTx publishes the payment's new state, or enqueues its refund, whose key at the provider is
// derived from the payment's id, so that a payment has one.
func (m *Module) followTx(ctx context.Context, tx pgx.Tx, p db.LockPaymentsRow, reason string) error {
	orderID, id, amount := p.OrderID.String(), p.ID.String(), paymentsapi.Money{Amount: p.Amount, Currency: p.Currency}
	switch status(p.Status) {
	case captured:
		return m.outbox.PublishTx(ctx, tx,
			paymentsapi.Captured{OrderID: orderID, PaymentID: id, Amount: amount, Version: p.Version})
	case declined:
		return m.outbox.PublishTx(ctx, tx,
			paymentsapi.Declined{OrderID: orderID, PaymentID: id, Reason: reason, Version: p.Version})
	case refunded:
		return m.outbox.PublishTx(ctx, tx,
			paymentsapi.Refunded{OrderID: orderID, PaymentID: id, Amount: amount, Version: p.Version})
	case refunding:
		return m.refunds.EnqueueTx(ctx, tx, jobs.Job[call]{
			ID: uuid.NewSHA1(p.ID, []byte("refund")), Key: orderID,
			Args: call{OrderID: p.OrderID, Money: money(amount), Reference: p.Reference},
		})
	}
	return nil
}
