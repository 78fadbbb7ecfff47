package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/jobs"
)

// A process that dies between a call and the commit of its result leaves a job whose lease expires.
// The next claim looks up the key at the provider before it calls again, with the same key. An
// unknown outcome is retried, after growing pauses, until the provider answers.

// provider captures and refunds money. Each operation has an idempotency key, which takes effect
// once at most. An error of Capture or Refund means that the outcome is unknown.
type provider interface {
	Capture(ctx context.Context, key uuid.UUID, token string, m money) (answer, error)
	Refund(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error)
	// Lookup returns the outcome of a key; errNoRecord if the provider has no record of it,
	// errUnderWay if it is still processing it.
	Lookup(ctx context.Context, key uuid.UUID) (answer, error)
}

// answer is the provider's final answer for a key.
type answer struct {
	outcome   outcome
	reference string // the provider's name for it
	reason    string // of a refusal
}

var (
	errNoRecord      = errors.New("the provider has no record of it")
	errUnderWay      = errors.New("the provider is still processing it")
	errRefundRefused = errors.New("the provider refuses the refund")
)

// call holds the arguments of a call to the provider. They are deleted with their job.
type call struct {
	OrderID   uuid.UUID `json:"order_id"`
	Money     money     `json:"money"`
	Token     string    `json:"token,omitempty"`     // stands for the card that a capture is from
	Reference string    `json:"reference,omitempty"` // of the capture that a refund gives back
}

func (m *Module) capture(ctx context.Context, job jobs.Job[call]) (learned, error) {
	a, err := m.provider.Capture(ctx, job.ID, job.Args.Token, job.Args.Money)
	return ofCapture(a), err
}

// checkCapture looks up the outcome of earlier tries. A capture whose order was cancelled and that
// the provider has no record of is given up, so that no card is charged only to be refunded. That
// waits for Config.Quiet: a request that was sent before the cancellation may still arrive.
func (m *Module) checkCapture(ctx context.Context, job jobs.Job[call]) (l learned, known bool, err error) {
	a, err := m.provider.Lookup(ctx, job.ID)
	if !errors.Is(err, errNoRecord) {
		return ofCapture(a), true, err
	}
	cancelledAt, err := db.New(m.db).CancelledAt(ctx, job.Args.OrderID)
	switch {
	case err != nil:
		return learned{}, false, fmt.Errorf("read payment: %w", err)
	case cancelledAt == nil:
		return learned{}, false, nil
	case m.now().Sub(*cancelledAt) < m.cfg.Quiet:
		return learned{}, false, errNoRecord
	}
	return learned{trigger: captureUnknown}, true, nil
}

func ofCapture(a answer) learned {
	if a.outcome == approved {
		return learned{trigger: captureApproved, reference: a.reference}
	}
	return learned{trigger: captureRefused, reason: a.reason}
}

func (m *Module) refund(ctx context.Context, job jobs.Job[call]) (learned, error) {
	a, err := m.provider.Refund(ctx, job.ID, job.Args.Reference, job.Args.Money)
	return ofRefund(a, err)
}

func (m *Module) checkRefund(ctx context.Context, job jobs.Job[call]) (l learned, known bool, err error) {
	a, err := m.provider.Lookup(ctx, job.ID)
	if errors.Is(err, errNoRecord) {
		return learned{}, false, nil
	}
	l, err = ofRefund(a, err)
	return l, true, err
}

// ofRefund makes an error of a refusal, so that the refund is retried: the money is owed, and
// people have to solve why the provider refuses.
func ofRefund(a answer, err error) (learned, error) {
	if err == nil && a.outcome != approved {
		err = errRefundRefused
	}
	return learned{trigger: refundApproved}, err
}
