package saga

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	inventorymigrations "example.com/shop/migrations/inventory"
	notificationsmigrations "example.com/shop/migrations/notifications"
	ordersmigrations "example.com/shop/migrations/orders"
	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/inventory"
	"example.com/shop/modules/notifications"
	"example.com/shop/modules/notifications/notificationssim"
	"example.com/shop/modules/orders"
	"example.com/shop/modules/payments"
	"example.com/shop/modules/payments/paymentssim"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

// deadline is what the saga gives an order for each of its two waits.
const deadline = time.Minute

// modules are the shop's, and those that publish come first.
var modules = []string{"orders", "inventory", "payments", "notifications"}

// shop is all four modules in one process, as in the monolith, with a bus and a clock that the test
// controls. Relays run all the time, for they only fill the bus; workers run when work is called.
type shop struct {
	admin   *pgxpool.Pool
	dbs     map[string]*postgres.DB
	workers map[string][]func(context.Context) error
	bus     *bus
	doors   http.Handler
	tokens  map[string]string // by role
	mail    *notificationssim.Sink

	clock    atomic.Pointer[time.Time]
	provider atomic.Pointer[paymentssim.Provider]
}

func open(t *testing.T) *shop {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := &shop{dbs: map[string]*postgres.DB{}, workers: map[string][]func(context.Context) error{}, bus: newBus(), tokens: map[string]string{}}
	db := pgtest.New(t,
		pgtest.Schema{Module: "orders", Migrations: ordersmigrations.FS},
		pgtest.Schema{Module: "inventory", Migrations: inventorymigrations.FS},
		pgtest.Schema{Module: "payments", Migrations: paymentsmigrations.FS},
		pgtest.Schema{Module: "notifications", Migrations: notificationsmigrations.FS})
	s.admin = db.Admin(t)
	doors := s.newDoors(t, log)

	// One attempt: an event that fails is a dead letter at once, and the run has failed.
	delivery := events.Config{RelayBatch: 100, ConsumerBatch: 10, Poll: 20 * time.Millisecond, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: time.Hour}
	outboxes := map[string]*events.Outbox{}
	for _, m := range modules {
		s.dbs[m] = db.Module(t, m)
		outboxes[m] = events.NewOutbox(s.dbs[m], s.bus, delivery, log)
	}
	var err error
	if s.mail, err = notificationssim.Start(notificationssim.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.mail.Close() })
	provider := httptest.NewServer(http.HandlerFunc(s.pay))
	t.Cleanup(provider.Close)

	stock := inventory.New(inventory.Config{KeyRetention: time.Hour},
		s.dbs["inventory"], outboxes["inventory"], log, s.now)
	for name, m := range map[string]service.Module{
		"inventory": stock,
		"orders": orders.New(orders.Config{Deadline: deadline, ExpiryPoll: time.Hour, KeyRetention: time.Hour, MaxOpen: 1000, MaxPieces: 10_000},
			s.dbs["orders"], outboxes["orders"], log, s.now, stock),
		"payments": payments.New(payments.Config{ProviderURL: provider.URL, CallTimeout: 2 * time.Second, Concurrency: 1, Lease: 10 * time.Second,
			BackoffFirst: 100 * time.Millisecond, BackoffMost: time.Second, Quiet: 13 * time.Second, Poll: delivery.Poll},
			s.dbs["payments"], outboxes["payments"], log, s.now),
		"notifications": notifications.New(notifications.Config{SMTPAddr: s.mail.Addr(), From: "orders@shop.example", Concurrency: 1,
			SendTimeout: 10 * time.Second, Lease: time.Minute, Poll: delivery.Poll, Retention: 30 * 24 * time.Hour, MaxPerHour: 1000},
			s.dbs["notifications"], log, s.now),
	} {
		if err := doors.Mount(name, m.Routes); err != nil {
			t.Fatal(err)
		}
		consumer := events.NewConsumer(s.dbs[name], subscriber{s.bus, name}, m.Handlers(), delivery, log)
		if err := consumer.Subscribe(t.Context()); err != nil {
			t.Fatal(err)
		}
		pgtest.Run(t, consumer.Run)
		pgtest.Run(t, outboxes[name].Run)
		s.workers[name] = m.Workers()
	}
	s.doors = doors.Handler()
	return s
}

// newDoors returns a web server without a listener, and mints a token for each role.
func (s *shop) newDoors(t *testing.T, log *slog.Logger) *web.Server {
	t.Helper()
	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := web.NewVerifier(web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: key.PublicPEM()})
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"customer", "staff"} {
		s.tokens[role] = key.Mint(tokens.Claims{Role: role, Subject: "ada"})
	}
	return web.New(web.Config{}, verifier, log, postgres.Transient)
}

func (s *shop) now() time.Time { return *s.clock.Load() }

func (s *shop) pass(d time.Duration) {
	now := s.now().Add(d)
	s.clock.Store(&now)
}

// pay is the provider. The answer to tok_timeout is lost at once; the simulated provider would wait
// until its client gives up.
func (s *shop) pay(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	answerable := bytes.ReplaceAll(body, []byte("tok_timeout"), []byte("tok_ok"))
	r.Body = io.NopCloser(bytes.NewReader(answerable))
	lost := !bytes.Equal(answerable, body)
	if lost {
		w = httptest.NewRecorder()
	}
	s.provider.Load().ServeHTTP(w, r)
	if lost {
		panic(http.ErrAbortHandler)
	}
}

// call sends a request with a token of the role, and reads the response.
func (s *shop) call(rt *rapid.T, role, method, path, body string, answer any) (status int) {
	request := httptest.NewRequestWithContext(rt.Context(), method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+s.tokens[role])
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", uuid.NewString())
	w := httptest.NewRecorder()
	s.doors.ServeHTTP(w, request)
	if w.Code < 300 {
		if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
			rt.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return w.Code
}

// idle asks for each module whether its workers have nothing to do at the time $1.
var idle = map[string]string{
	"orders": "SELECT NOT EXISTS (SELECT FROM orders.orders WHERE deadline <= $1)",
	// Due, or claimed now, which lasts for exactly the lease.
	"payments":      "SELECT NOT EXISTS (SELECT FROM payments.jobs WHERE due_at <= $1 OR due_at = $1 + interval '10 seconds')",
	"notifications": "SELECT NOT EXISTS (SELECT FROM notifications.jobs WHERE due_at <= $1 OR due_at = $1 + interval '1 minute')",
}

// work runs the module's workers until they have nothing to do.
func (s *shop) work(rt *rapid.T, module string) {
	ctx, stop := context.WithCancel(context.WithoutCancel(rt.Context()))
	var all sync.WaitGroup
	defer all.Wait() // also when it is given up, for the next run finds a shop at rest
	defer stop()
	for _, w := range s.workers[module] {
		all.Go(func() { _ = w(ctx) }) // it returns nil, always
	}
	s.until(rt, idle[module], s.now())
}

// drain waits until the relays have published everything that is in the outboxes.
func (s *shop) drain(rt *rapid.T) {
	s.until(rt, `SELECT NOT EXISTS (SELECT FROM orders.outbox_pending) AND NOT EXISTS (SELECT FROM inventory.outbox_pending)
		AND NOT EXISTS (SELECT FROM payments.outbox_pending)`)
}

func (s *shop) until(rt *rapid.T, query string, args ...any) {
	for limit := time.Now().Add(20 * time.Second); !s.is(rt, query, args...); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			rt.Fatalf("it does not come true: %s; %v", query, args)
		}
	}
}

func (s *shop) is(rt *rapid.T, query string, args ...any) (yes bool) {
	if err := s.admin.QueryRow(rt.Context(), query, args...).Scan(&yes); err != nil {
		rt.Fatal(err)
	}
	return yes
}
