package payments

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/devkit/paysim"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/web"
)

// slow is what tok_slow takes here: several times the timeout of a call.
const slow = 400 * time.Millisecond

// shop is what surrounds the module: a database, a bus, a provider, orders as far as its events go,
// and a listener. Events reach its module from the start; nothing calls the provider until the test
// runs a process.
type shop struct {
	t      *testing.T
	cfg    Config
	pg     *pgtest.DB
	db     *postgres.DB
	bus    *events.MemoryBus
	log    *slog.Logger
	module *Module
	orders neighbour
	doors  http.Handler
	key    *tokens.Key
	paysim *paysim.Provider
	ahead  atomic.Int64 // by how much the shop's clock has been moved

	mu        sync.Mutex
	published map[string][]string // the topics of what was published about an order
}

// neighbour publishes the events of another module, on the tables of payments.
type neighbour struct {
	db     *postgres.DB
	outbox *events.Outbox
}

// delivery polls for what was committed before its relay ran.
var delivery = events.Config{RelayBatch: 100, ConsumerBatch: 50, Poll: time.Second, MaxAttempts: 1,
	RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour}

func setup(t *testing.T) *shop {
	t.Helper()
	return setupPolling(t, 20*time.Millisecond)
}

// setupPolling says how often jobs are looked for that the process does not know of.
func setupPolling(t *testing.T, poll time.Duration) *shop {
	t.Helper()
	ctx := t.Context()
	s := &shop{t: t, published: map[string][]string{}}
	s.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.pg = pgtest.New(t, pgtest.Schema{Module: "payments", Migrations: paymentsmigrations.FS})
	s.db = s.pg.Module(t, "payments")

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

	s.bus = events.NewMemoryBus()
	t.Cleanup(func() { _ = s.bus.Close() })
	outbox := events.NewOutbox(s.db, s.bus, delivery, s.log)
	s.module = New(s.cfg, s.db, outbox, s.log, s.now)
	listeners := []events.Handler{
		events.On(listen[paymentsapi.Captured](s)), events.On(listen[paymentsapi.Declined](s)), events.On(listen[paymentsapi.Refunded](s)),
	}
	consumer := events.NewConsumer(s.db, s.bus, append(s.module.Handlers(), listeners...), delivery, s.log)
	if err := consumer.Subscribe(ctx); err != nil {
		t.Fatal(err)
	}
	start(t, consumer.Run)
	start(t, outbox.Run)
	s.orders.db = &postgres.DB{Pool: s.db.Pool, Module: "orders"}
	s.orders.outbox = events.NewOutbox(s.orders.db, s.bus, delivery, s.log)
	start(t, s.orders.outbox.Run)

	if s.key, err = tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem")); err != nil {
		t.Fatal(err)
	}
	verifier, err := web.NewVerifier(ctx,
		web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: s.key.PublicPEM()})
	if err != nil {
		t.Fatal(err)
	}
	front := web.New(web.Config{}, verifier, s.log, postgres.Transient)
	if err := front.Mount("payments", s.module.Routes); err != nil {
		t.Fatal(err)
	}
	s.doors = front.Handler()
	return s
}

func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func listen[E events.Event](s *shop) func(context.Context, pgx.Tx, E) error {
	return func(_ context.Context, _ pgx.Tx, e E) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		order, _ := e.Aggregate()
		s.published[order] = append(s.published[order], e.Topic())
		return nil
	}
}

func (s *shop) publishedOf(order string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published[order]
}

// process is another process of the same schema: its own pool, its own workers, and the provider as
// it sees it.
func (s *shop) process(p provider) *Module {
	s.t.Helper()
	db := s.pg.Module(s.t, "payments")
	outbox := events.NewOutbox(db, s.bus, delivery, s.log)
	start(s.t, outbox.Run)
	return newModule(s.cfg, db, outbox, s.log, s.now, p)
}

// work runs the module's workers. They stop, and finish what they do, at stop or with the test.
func work(t *testing.T, m *Module) (stop func()) {
	t.Helper()
	var stops []func()
	for _, run := range m.Workers() {
		stops = append(stops, start(t, run))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// start runs a loop until the test ends or stop is called, which waits for its end. What was
// started last stops first.
func start(t *testing.T, loop func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- loop(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("loop ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// publish commits the events of orders in one transaction.
func (s *shop) publish(happened ...events.Event) {
	s.t.Helper()
	err := s.orders.db.InTx(s.t.Context(), func(tx pgx.Tx) error {
		for _, e := range happened {
			if err := s.orders.outbox.PublishTx(s.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// happen publishes events, each when the one before it was handled.
func (s *shop) happen(happened ...events.Event) {
	s.t.Helper()
	for _, e := range happened {
		s.publish(e)
		s.until("the event was handled", func() bool { return s.count("SELECT count(*) FROM outbox_pending") == 0 })
	}
	if n := s.count("SELECT count(*) FROM failed"); n > 0 {
		s.t.Fatalf("%d events failed", n)
	}
}

// settled returns when nothing is left to do: no job is there and every event was handled.
func (s *shop) settled() {
	s.t.Helper()
	s.until("everything is settled", func() bool {
		return s.count("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM outbox_pending)") == 0
	})
}

func (s *shop) until(what string, done func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-deadline:
			s.t.Fatalf("waited too long until %s", what)
		}
	}
}

func (s *shop) count(query string) (n int64) {
	s.t.Helper()
	if err := s.db.QueryRow(s.t.Context(), query).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// get sends a request with a token of the role, or without a token.
func (s *shop) get(role, query string) (code int, body string) {
	s.t.Helper()
	req := httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/v1/payments"+query, http.NoBody)
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+s.key.Mint(tokens.Claims{Subject: "ada", Role: role}))
	}
	answer := httptest.NewRecorder()
	s.doors.ServeHTTP(answer, req)
	text, err := io.ReadAll(answer.Result().Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.Code, string(text)
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
