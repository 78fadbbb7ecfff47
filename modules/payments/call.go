package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/jobs"
)

// A process that dies between a call and its result leaves a job whose lease runs out. The next
// claim asks the provider before it calls again, with the same key. An unknown outcome is never
// given up: the job is tried, ever more slowly, until the provider has spoken.

// provider takes money from a card and gives it back. Every operation has a key; the same key never takes effect twice.
// An error of Capture or Refund means that the outcome is unknown.
type provider interface {
	Capture(ctx context.Context, key uuid.UUID, token string, m money) (answer, error)
	Refund(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error)
	// Lookup asks what became of a key: errUnheard if the provider has never heard of it, errUnderWay if it is still at work.
	Lookup(ctx context.Context, key uuid.UUID) (answer, error)
}

// answer is the provider's last word on a key.
type answer struct {
	outcome   outcome
	reference string // the provider's name for it
	reason    string // of a refusal
}

var (
	errUnheard       = errors.New("the provider has never heard of it")
	errUnderWay      = errors.New("the provider is still at work on it")
	errRefundRefused = errors.New("the provider refuses to give the money back")
)

// call is what the provider is asked for. It leaves the database with its job, and the token with
// it.
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

// checkCapture asks what became of earlier tries. A capture whose order was cancelled and that the
// provider does not know is given up, so that no card is charged only to be refunded. A request
// that was sent before the cancel may still be on its way, so that happens only after a quiet time.
func (m *Module) checkCapture(ctx context.Context, job jobs.Job[call]) (l learned, known bool, err error) {
	a, err := m.provider.Lookup(ctx, job.ID)
	if !errors.Is(err, errUnheard) {
		return ofCapture(a), true, err
	}
	cancelledAt, err := db.New(m.db).CancelledAt(ctx, job.Args.OrderID)
	switch {
	case err != nil:
		return learned{}, false, fmt.Errorf("read payment: %w", err)
	case cancelledAt == nil:
		return learned{}, false, nil
	case m.now().Sub(*cancelledAt) < m.cfg.Quiet:
		return learned{}, false, errUnheard
	}
	return learned{news: captureUnheard}, true, nil
}

func ofCapture(a answer) learned {
	if a.outcome == approved {
		return learned{news: captureApproved, reference: a.reference}
	}
	return learned{news: captureRefused, reason: a.reason}
}

func (m *Module) refund(ctx context.Context, job jobs.Job[call]) (learned, error) {
	a, err := m.provider.Refund(ctx, job.ID, job.Args.Reference, job.Args.Money)
	return ofRefund(a, err)
}

func (m *Module) checkRefund(ctx context.Context, job jobs.Job[call]) (l learned, known bool, err error) {
	a, err := m.provider.Lookup(ctx, job.ID)
	if errors.Is(err, errUnheard) {
		return learned{}, false, nil
	}
	l, err = ofRefund(a, err)
	return l, true, err
}

// ofRefund makes an error of a refusal: it is for people to solve, and is tried again, because the
// money is owed.
func ofRefund(a answer, err error) (learned, error) {
	if err == nil && a.outcome != approved {
		err = errRefundRefused
	}
	return learned{news: refundApproved}, err
}
