package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/jobs"
)

// A process that dies between a call and its result leaves a job whose lease runs out. The next claim asks the provider before it
// calls again, with the same key. An unknown outcome is never given up: the job is tried, ever more slowly, until the provider has
// spoken.

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

// charge is what a capture needs to know. The card's token leaves the database with the job.
type charge struct {
	Money money  `json:"money"`
	Token string `json:"token"`
}

// repayment is what a refund needs to know.
type repayment struct {
	Money     money  `json:"money"`
	Reference string `json:"reference"` // of the capture
}

func (m *Module) capture(ctx context.Context, job jobs.Job[charge]) (answer, error) {
	return m.provider.Capture(ctx, job.ID, job.Args.Token, job.Args.Money)
}

// checkCapture asks what became of earlier tries. A capture that was cancelled and that the provider does not know is settled as
// withdrawn, so that no card is charged only to be refunded. A request that was sent before the cancel may still be on its way, so
// that counts only after a quiet time.
func (m *Module) checkCapture(ctx context.Context, job jobs.Job[charge]) (a answer, known bool, err error) {
	a, err = m.provider.Lookup(ctx, job.ID)
	if !errors.Is(err, errUnheard) {
		return a, true, err
	}
	orderID, err := uuid.Parse(job.Key)
	if err != nil {
		return answer{}, false, fmt.Errorf("read order id: %w", err)
	}
	cancelledAt, err := db.New(m.db).CancelledAt(ctx, orderID)
	switch {
	case err != nil:
		return answer{}, false, fmt.Errorf("read payment: %w", err)
	case cancelledAt == nil:
		return answer{}, false, nil
	case m.now().Sub(*cancelledAt) < m.cfg.Quiet:
		return answer{}, true, errUnheard
	}
	return answer{outcome: withdrawn}, true, nil
}

// refund asks for the money back. A refusal is for people to solve, and is tried again, because the money is owed.
func (m *Module) refund(ctx context.Context, job jobs.Job[repayment]) (answer, error) {
	return accepted(m.provider.Refund(ctx, job.ID, job.Args.Reference, job.Args.Money))
}

func (m *Module) checkRefund(ctx context.Context, job jobs.Job[repayment]) (a answer, known bool, err error) {
	a, err = m.provider.Lookup(ctx, job.ID)
	if errors.Is(err, errUnheard) {
		return answer{}, false, nil
	}
	a, err = accepted(a, err)
	return a, true, err
}

func accepted(a answer, err error) (answer, error) {
	if err == nil && a.outcome != approved {
		err = errRefundRefused
	}
	return a, err
}
