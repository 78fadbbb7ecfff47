package payments

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/platform/events"
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/worker"
)

// How an attempt is carried out, with nothing but its row to remember it:
//
//	claimer ── claim: tries+1, lease ──▶ lane ──▶ provider ──▶ settle, if tries is still ours
//	   ▲       (committed)                 │                      │
//	   └────── next_at + backoff ──────────┴── no answer          └── else dropped
//
// A process that dies anywhere here leaves a lease that runs out. Whoever claims the attempt next knows by its tries that a call
// may have been made, and asks the provider before it calls again, with the same key. An unknown outcome is never given
// up: the attempt is tried, ever more slowly, until the provider has spoken.

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

// claim is an attempt that is ours until its lease runs out.
type claim = db.ClaimAttemptsRow

// claimDue claims as many due attempts as there are lanes free, so that a slow call holds up its own lane and nothing else.
func (m *Module) claimDue(ctx context.Context) (more bool, err error) {
	free := m.cfg.Concurrency - int(m.underWay.Load())
	if free <= 0 {
		return false, nil // the first lane that becomes free wakes us
	}
	now := m.now()
	claims, err := db.New(m.pool).ClaimAttempts(ctx, db.ClaimAttemptsParams{
		Since: worker.Since(ctx, now), Now: now, LeaseUntil: now.Add(m.cfg.Lease), Most: int32(free), //nolint:gosec // a handful
	})
	if err != nil {
		return false, fmt.Errorf("claim attempts: %w", err)
	}
	m.underWay.Add(int64(len(claims)))
	for _, c := range claims {
		m.claimed <- c // has room for every lane
	}
	if len(claims) > 0 {
		for _, lane := range m.lanes {
			lane.Wake()
		}
	}
	return len(claims) == free, nil
}

// callNext is one lane: it carries out one claim that waits. When the process stops, claims that no lane began are left to
// their lease.
func (m *Module) callNext(ctx context.Context) (more bool, err error) {
	select {
	case c := <-m.claimed:
		defer m.freeLane()
		return true, m.carryOut(ctx, c)
	default:
		return false, nil
	}
}

// freeLane wakes the claimer if all lanes were busy, for then it may have looked in vain. While others are free it need not be told: its last
// look found all that was due, or it looks again.
func (m *Module) freeLane() {
	if int(m.underWay.Add(-1)) == m.cfg.Concurrency-1 {
		m.claimer.Wake()
	}
}

func (m *Module) carryOut(ctx context.Context, c claim) error {
	ctx = events.WithCause(ctx, c.Cause)
	failpoint.Here("claimed, not called")
	a, err := m.ask(ctx, c)
	if err == nil && c.Kind == refund && a.outcome != approved {
		err = errRefundRefused // for people to solve; tried on, because the money is owed
	}
	if err != nil {
		return m.postpone(ctx, c, err)
	}
	failpoint.Here("answered, not stored")
	err = m.settle(ctx, c, a)
	if errors.Is(err, errLeaseLost) {
		m.log.InfoContext(ctx, "result dropped", "order_id", c.OrderID, "kind", c.Kind, "try", c.Tries, "error", err)
		return nil
	}
	return err
}

// ask finds out what the provider says, and calls it if no call can have been made yet. Nothing is asked past the lease:
// a process that was frozen in between must not call late, beside the next claimer.
func (m *Module) ask(ctx context.Context, c claim) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.LeaseUntil.Sub(m.now()))
	defer cancel()
	if c.Tries > 1 {
		a, err := m.provider.Lookup(ctx, c.ID)
		if !errors.Is(err, errUnheard) {
			return a, err
		}
		if c.Kind == capture && c.CancelledAt != nil {
			return m.unheard(c)
		}
	}
	amount := money{c.Amount, c.Currency}
	if c.Kind == refund {
		return m.provider.Refund(ctx, c.ID, c.Reference, amount)
	}
	return m.provider.Capture(ctx, c.ID, c.Token, amount)
}

// unheard settles a capture that was cancelled and that the provider does not know, so that no card is charged only to be
// refunded. A request sent before the cancel may still be on its way, so it counts only after a quiet time.
func (m *Module) unheard(c claim) (answer, error) {
	if m.now().Sub(*c.CancelledAt) < m.cfg.Quiet {
		return answer{}, errUnheard
	}
	return answer{outcome: withdrawn}, nil
}

// postpone gives the lease back and looks again later. The reason stays in the row for whoever wonders.
func (m *Module) postpone(ctx context.Context, c claim, why error) error {
	pause := backoff(c.Tries, m.cfg.BackoffFirst, m.cfg.BackoffMost, rand.Float64())
	m.log.WarnContext(ctx, "attempt not settled", "order_id", c.OrderID, "kind", c.Kind, "try", c.Tries, "error", why,
		"again_in", pause.String())
	now := m.now()
	err := db.New(m.pool).PostponeAttempt(ctx, db.PostponeAttemptParams{
		ID: c.ID, Tries: c.Tries, NextAt: now.Add(pause), Reason: why.Error(), Now: now,
	})
	if err != nil {
		return fmt.Errorf("postpone attempt: %w", err)
	}
	time.AfterFunc(pause, m.claimer.Wake)
	return nil
}
