package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// errLeaseLost says that another claimer has the attempt now. Whatever we learned, it learns from the provider as well.
var errLeaseLost = errors.New("the lease went to another claimer")

// settle commits what the provider said: the attempt's end, the payment's move and the event that tells of it, or none of them.
// A cancel that came during the call is seen here, under the lock, and not before.
func (m *Module) settle(ctx context.Context, c claim, a answer) error {
	var p db.FinishAttemptRow
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		p, err = db.New(tx).FinishAttempt(ctx, db.FinishAttemptParams{
			OrderID: c.OrderID, ID: c.ID, Tries: c.Tries, Outcome: string(a.outcome), Reason: a.reason, Now: m.now(),
		})
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errLeaseLost
		case err != nil:
			return fmt.Errorf("finish attempt: %w", err)
		}
		if a.outcome == approved && c.Kind == capture {
			p.Reference = a.reference
		}
		return m.moveTx(ctx, tx, db.LockPaymentRow(p), newsOf(c.Kind, a.outcome), a.reason)
	})
	if err != nil {
		return fmt.Errorf("settle %s: %w", c.Kind, err)
	}
	m.outbox.Wake()
	if status(p.Status) == cancelling {
		m.claimer.Wake() // there may be a refund to claim
	}
	return nil
}

// moveTx takes the arrow that the news opens, if there is one: the state change, and with it the event or the attempt to refund.
// The payment is locked by the caller.
func (m *Module) moveTx(ctx context.Context, tx pgx.Tx, p db.LockPaymentRow, n news, reason string) error {
	to := status(p.Status).after(n)
	if to == status(p.Status) {
		return nil
	}
	p.Version++
	err := db.New(postgres.Later(tx)).MovePayment(ctx, db.MovePaymentParams{
		OrderID: p.OrderID, Status: string(to), Reference: p.Reference, Version: p.Version, CancelledAt: p.CancelledAt, Now: m.now(),
	})
	if err != nil {
		return fmt.Errorf("move payment to %s: %w", to, err)
	}
	amount := paymentsapi.Money{Amount: p.Amount, Currency: p.Currency}
	switch to {
	case captured:
		return events.PublishTx(ctx, tx, paymentsapi.Captured{
			OrderID: p.OrderID.String(), PaymentID: p.ID.String(), Amount: amount, Version: p.Version,
		})
	case declined:
		return events.PublishTx(ctx, tx, paymentsapi.Declined{
			OrderID: p.OrderID.String(), PaymentID: p.ID.String(), Reason: reason, Version: p.Version,
		})
	case refunded:
		return events.PublishTx(ctx, tx, paymentsapi.Refunded{
			OrderID: p.OrderID.String(), PaymentID: p.ID.String(), Amount: amount, Version: p.Version,
		})
	case refunding:
		return m.insertRefundTx(ctx, tx, p.OrderID)
	}
	return nil
}

// insertRefundTx writes the attempt to refund. Its id is the idempotency key that every try of it will use.
func (m *Module) insertRefundTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID) error {
	key, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make refund key: %w", err)
	}
	err = db.New(postgres.Later(tx)).InsertRefund(ctx, db.InsertRefundParams{ID: key, OrderID: orderID, Cause: events.CauseOf(ctx), Now: m.now()})
	if err != nil {
		return fmt.Errorf("insert refund: %w", err)
	}
	return nil
}
