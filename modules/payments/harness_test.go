package payments

import (
	"context"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/paymentssim"
	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/web"
)

const (
	wasCaptured = "payments.captured.v1"
	wasDeclined = "payments.declined.v1"
	wasRefunded = "payments.refunded.v1"
)

// shop is the module on its stage, with a provider and a clock of its own, which runs. The provider
// is not called before a test runs the workers.
type shop struct {
	*moduletest.Stage
	t      *testing.T
	cfg    Config
	module *Module
	sim    *paymentssim.Provider
	ahead  atomic.Int64 // by how much the clock has been moved
}

func setup(t *testing.T) *shop {
	t.Helper()
	s := &shop{Stage: moduletest.New(t, "payments", paymentsmigrations.FS), t: t}
	var err error
	// What tok_slow takes is several times the timeout of a call.
	if s.sim, err = paymentssim.New(paymentssim.Options{SlowDelay: 400 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.sim)
	t.Cleanup(func() { _ = s.sim.Close(); server.Close() })
	s.cfg = Config{
		ProviderURL: server.URL, CallTimeout: 100 * time.Millisecond, Concurrency: 4, Lease: time.Minute, Quiet: time.Minute,
		BackoffFirst: 10 * time.Millisecond, BackoffMost: 50 * time.Millisecond, Poll: 20 * time.Millisecond,
	}
	s.module = New(s.cfg, s.DB, s.Outbox, s.Log, s.now)
	s.Start(s.module)
	return s
}

func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// process is another process of the same schema: its own pool, its own workers, and a hand of the
// test between it and the provider.
func (s *shop) process(h hand) *Module {
	s.t.Helper()
	db := s.Database.Module(s.t, "payments")
	return newModule(s.cfg, db, s.RunOutbox(db), s.Log, s.now, between{newHTTPProvider(s.cfg), h})
}

// hand makes a call to the provider, or does something else instead.
type hand func(operation, token string, call func() (answer, error)) (answer, error)

type between struct {
	provider
	hand hand
}

func (p between) Capture(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
	return p.hand("capture", token, func() (answer, error) { return p.provider.Capture(ctx, key, token, m) })
}

func (p between) Refund(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error) {
	return p.hand("refund", "", func() (answer, error) { return p.provider.Refund(ctx, key, reference, m) })
}

// freeze runs a process that freezes at its first capture, before the call or after it, until thaw,
// and returns once it is there. thaw waits until the process has ended.
func (s *shop) freeze(after bool, e ordersapi.PaymentDue) (thaw func()) {
	s.t.Helper()
	frozen, goOn := make(chan struct{}), make(chan struct{})
	pause := sync.OnceFunc(func() { close(frozen); <-goOn })
	stop := s.Work(s.process(func(operation, _ string, call func() (answer, error)) (answer, error) {
		if operation == "capture" && !after {
			pause()
		}
		a, err := call()
		if operation == "capture" {
			pause()
		}
		return a, err
	}))
	s.Given(e)
	<-frozen
	return func() { close(goOn); stop() }
}

// settled returns when nothing is left to do: every event was handled and no job is there.
func (s *shop) settled() {
	s.t.Helper()
	s.Settle()
	s.Eventually("every job is done", "SELECT NOT EXISTS (SELECT FROM jobs)")
}

// ledger is what the provider did, in order: "capture approved", "refund approved".
func (s *shop) ledger() (effects []string) {
	for _, e := range s.sim.Ledger("") {
		effects = append(effects, e.Kind+" "+e.Outcome)
	}
	return effects
}

// check compares everything that can be seen of an order from outside: its status, what was
// published, what the provider did.
func (s *shop) check(order, status string, published, effects []string) {
	s.t.Helper()
	var page web.Page[paymentJSON]
	s.Call(moduletest.Request{Path: "?order_id=" + order, Role: "staff"}).JSON(&page)
	got := ""
	if len(page.Items) == 1 {
		got = page.Items[0].Status
	}
	if got != status {
		s.t.Errorf("status %q, want %q", got, status)
	}
	if diff := cmp.Diff(published, s.Published(order)); diff != "" {
		s.t.Errorf("published (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(effects, s.ledger()); diff != "" {
		s.t.Errorf("provider's ledger (-want +got):\n%s", diff)
	}
}

func due(order, token string) ordersapi.PaymentDue {
	return ordersapi.PaymentDue{OrderID: order, Amount: ordersapi.Money{Amount: 2598, Currency: "EUR"}, PaymentToken: token, Version: 2}
}

func cancelOf(order string) ordersapi.Cancelled {
	return ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 3}
}

// batch returns the events as the consumer delivers them.
func batch[E events.Event](happened ...E) (deliveries []events.Delivery[E]) {
	for _, e := range happened {
		deliveries = append(deliveries, events.Delivery[E]{Event: e})
	}
	return deliveries
}
