package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/postgres"
)

// settleCapturesTx commits what the provider said: the payments' moves and the events of them. A cancel that came during the call
// is seen here, under the lock, and not before.
func (m *Module) settleCapturesTx(ctx context.Context, tx pgx.Tx, done []jobs.Done[charge, answer]) error {
	return settleTx(ctx, m, tx, done, map[outcome]string{approved: captureApproved, refused: captureRefused, withdrawn: captureUnheard})
}

func (m *Module) settleRefundsTx(ctx context.Context, tx pgx.Tx, done []jobs.Done[repayment, answer]) error {
	return settleTx(ctx, m, tx, done, map[outcome]string{approved: refundApproved})
}

func settleTx[A any](ctx context.Context, m *Module, tx pgx.Tx, done []jobs.Done[A, answer], what map[outcome]string) error {
	learned := map[uuid.UUID]news{}
	for _, d := range done {
		orderID, err := uuid.Parse(d.Key)
		if err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		learned[orderID] = news{what: what[d.Result.outcome], reference: d.Result.reference, reason: d.Result.reason, cause: d.Cause}
	}
	return m.moveTx(ctx, tx, false, learned)
}

// moveTx takes the arrows that the news of orders open: the state changes, and with each the event or the refund that follows. News
// that open none, because they come twice or late, change nothing.
func (m *Module) moveTx(ctx context.Context, tx pgx.Tx, cancelled bool, learned map[uuid.UUID]news) error {
	payments, err := db.New(tx).LockPayments(ctx, slices.Collect(maps.Keys(learned)))
	if err != nil {
		return fmt.Errorf("lock payments: %w", err)
	}
	moved := db.MovePaymentsParams{Now: m.now(), Cancelled: cancelled}
	for _, p := range payments {
		n := learned[p.OrderID]
		to := status(p.Status).after(n.what)
		if to == status(p.Status) {
			continue
		}
		p.Status, p.Version = string(to), p.Version+1
		if n.what == captureApproved {
			p.Reference = n.reference
		}
		moved.OrderIds, moved.Statuses = append(moved.OrderIds, p.OrderID), append(moved.Statuses, p.Status)
		moved.Refs, moved.Versions = append(moved.Refs, p.Reference), append(moved.Versions, p.Version)
		if err := m.followTx(events.WithCause(ctx, n.cause), tx, p, n.reason); err != nil {
			return err
		}
	}
	if len(moved.OrderIds) > 0 {
		postgres.Queue(tx, db.New(tx).MovePayments, moved)
	}
	return nil
}

// followTx publishes that the payment has moved, or enqueues its refund. The refund's key at the provider is made of the payment's id,
// so that a payment has one.
func (m *Module) followTx(ctx context.Context, tx pgx.Tx, p db.LockPaymentsRow, reason string) error {
	orderID, id, amount := p.OrderID.String(), p.ID.String(), paymentsapi.Money{Amount: p.Amount, Currency: p.Currency}
	switch status(p.Status) {
	case captured:
		return m.outbox.PublishTx(ctx, tx, paymentsapi.Captured{OrderID: orderID, PaymentID: id, Amount: amount, Version: p.Version})
	case declined:
		return m.outbox.PublishTx(ctx, tx, paymentsapi.Declined{OrderID: orderID, PaymentID: id, Reason: reason, Version: p.Version})
	case refunded:
		return m.outbox.PublishTx(ctx, tx, paymentsapi.Refunded{OrderID: orderID, PaymentID: id, Amount: amount, Version: p.Version})
	case refunding:
		return m.refunds.EnqueueTx(ctx, tx, jobs.Job[repayment]{
			ID: uuid.NewSHA1(p.ID, []byte("refund")), Key: orderID, Args: repayment{Money: money(amount), Reference: p.Reference},
		})
	}
	return nil
}
