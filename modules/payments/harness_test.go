package payments

import (
	"context"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/devkit/paysim"
)

// slow is what tok_slow takes here: several times the timeout of a call.
const slow = 400 * time.Millisecond

// shop is the module on its stage, with a provider and a clock of its own, which runs. The provider
// is not called before a test runs the workers.
type shop struct {
	*moduletest.Stage
	t      *testing.T
	cfg    Config
	module *Module
	paysim *paysim.Provider
	ahead  atomic.Int64 // by how much the clock has been moved
}

func setup(t *testing.T) *shop {
	t.Helper()
	return setupPolling(t, 20*time.Millisecond)
}

// setupPolling says how often jobs are looked for that the process does not know of.
func setupPolling(t *testing.T, poll time.Duration) *shop {
	t.Helper()
	s := &shop{Stage: moduletest.New(t, "payments", paymentsmigrations.FS), t: t}
	var err error
	if s.paysim, err = paysim.New(paysim.Options{SlowDelay: slow}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.paysim)
	t.Cleanup(func() { _ = s.paysim.Close(); server.Close() })
	s.cfg = Config{
		ProviderURL: server.URL, CallTimeout: 100 * time.Millisecond, Concurrency: 4, Lease: time.Minute,
		BackoffFirst: 10 * time.Millisecond, BackoffMost: 50 * time.Millisecond, Quiet: time.Minute, Poll: poll,
	}
	s.module = New(s.cfg, s.DB, s.Outbox, s.Log, s.now)
	s.Start(s.module)
	return s
}

func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// process is another process of the same schema: its own pool, its own workers, and the provider as
// it sees it.
func (s *shop) process(p provider) *Module {
	s.t.Helper()
	db := s.Database.Module(s.t, "payments")
	return newModule(s.cfg, db, s.RunOutbox(db), s.Log, s.now, p)
}

// settled returns when nothing is left to do: every event was handled and no job is there.
func (s *shop) settled() {
	s.t.Helper()
	s.Settle()
	s.Eventually("every job is done", "SELECT NOT EXISTS (SELECT FROM jobs)")
}

// get sends a request with a token of the role, or without a token.
func (s *shop) get(role, query string) (code int, body string) {
	s.t.Helper()
	answer := s.Call(moduletest.Request{Path: query, Role: role})
	return answer.Status, string(answer.Body)
}

// ledger is what the provider did, in order: "capture approved", "refund approved".
func (s *shop) ledger() (effects []string) {
	for _, e := range s.paysim.Ledger("") {
		effects = append(effects, e.Kind+" "+e.Outcome)
	}
	return effects
}

func due(order, token string) ordersapi.PaymentDue {
	return ordersapi.PaymentDue{OrderID: order, Amount: ordersapi.Money{Amount: 2598, Currency: "EUR"}, PaymentToken: token, Version: 2}
}

func cancelOf(order string) ordersapi.Cancelled {
	return ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 3}
}

// seen is a provider that is watched or disturbed: a nil field leaves the call to the real one.
type seen struct {
	provider
	capture func(ctx context.Context, key uuid.UUID, token string, m money) (answer, error)
	refund  func(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error)
	lookup  func(ctx context.Context, key uuid.UUID) (answer, error)
}

func (p seen) Capture(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
	if p.capture == nil {
		return p.provider.Capture(ctx, key, token, m)
	}
	return p.capture(ctx, key, token, m)
}

func (p seen) Refund(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error) {
	if p.refund == nil {
		return p.provider.Refund(ctx, key, reference, m)
	}
	return p.refund(ctx, key, reference, m)
}

func (p seen) Lookup(ctx context.Context, key uuid.UUID) (answer, error) {
	if p.lookup == nil {
		return p.provider.Lookup(ctx, key)
	}
	return p.lookup(ctx, key)
}
