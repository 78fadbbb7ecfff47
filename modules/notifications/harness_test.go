package notifications

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/web"
)

const (
	order   = "0199a0c1-7f00-7000-8000-000000000001"
	address = "ada@example.com"
)

var (
	placed    = ordersapi.Placed{OrderID: order, CustomerID: "ada", Email: address, Version: 1}
	confirmed = ordersapi.Confirmed{OrderID: order, Total: ordersapi.Money{Amount: 2598, Currency: "EUR"}, Version: 3}
	cancelled = ordersapi.Cancelled{OrderID: order, Reason: "declined", Version: 3}
)

// fakeMailer is a mail server that does what the test says.
type fakeMailer struct {
	sendFunc func(ctx context.Context, m mail) error
}

func (f fakeMailer) Send(ctx context.Context, m mail) error { return f.sendFunc(ctx, m) }

// office is the module with what a process gives it, and a clock that stands still until the test moves it. The sender does
// not run by itself: a test calls it, so that it knows when there was nothing to send.
type office struct {
	t      *testing.T
	module *Module
	pool   *pgxpool.Pool
	outbox *events.Outbox
	server *httptest.Server
	key    *tokens.Key

	mu     sync.Mutex
	clock  time.Time
	logged strings.Builder
}

func (o *office) now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.clock
}

func (o *office) advance(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clock = o.clock.Add(d)
}

// Write takes the log.
func (o *office) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.logged.Write(line)
}

var testConfig = Config{
	From: "orders@shop.example", SMTPTLS: tlsOpportunistic, Concurrency: 4, SendTimeout: 3 * time.Second, Lease: time.Minute,
	Poll: time.Hour, Retention: 30 * 24 * time.Hour,
}

func setup(t *testing.T, cfg Config, mailer mailer) *office {
	t.Helper()
	ctx := t.Context()
	o := &office{t: t, clock: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)}
	log := slog.New(slog.NewTextHandler(o, nil))
	t.Cleanup(func() {
		if strings.Contains(o.logged.String(), address) {
			t.Errorf("an address is in the log:\n%s", o.logged.String())
		}
	})
	db := pgtest.New(t, pgtest.Schema{Module: "notifications", Migrations: notificationsmigrations.FS})
	o.pool = db.Pool(t, "notifications")
	o.module = newModule(cfg, o.pool, log, o.now, mailer)

	// No poll, so that whatever the effect of an event gives work to has to be woken.
	eventsConfig := events.Config{RelayBatch: 100, ConsumerBatch: 10, Poll: time.Hour, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour}
	bus := events.NewMemoryBus()
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	o.outbox = events.NewOutbox(o.pool, bus, eventsConfig, log) // plays the part of orders' outbox
	consumer := events.NewConsumer(o.pool, bus, o.module.Handlers(), eventsConfig, log)
	if err := consumer.Subscribe(ctx); err != nil {
		t.Fatal(err)
	}
	run(t, consumer.Run)
	run(t, o.outbox.Run) // stops before the consumer, which it waits for

	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	o.key = key
	verifier, err := web.NewVerifier(ctx, web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: key.PublicPEM()})
	if err != nil {
		t.Fatal(err)
	}
	doors := web.New(web.Config{}, verifier, log)
	if err := doors.Mount("notifications", o.module.Routes); err != nil {
		t.Fatal(err)
	}
	o.server = httptest.NewServer(doors.Handler())
	t.Cleanup(o.server.Close)
	return o
}

// run runs a loop until the test ends. What was started last stops first.
func run(t *testing.T, loop func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- loop(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("loop ended: %v", err)
		}
	})
}

// tell publishes events, one after the other, and returns when the last has been handled.
func (o *office) tell(told ...events.Event) {
	o.t.Helper()
	for _, e := range told {
		o.publish(e)
		o.settle()
	}
}

// publish publishes events in one transaction, as orders would.
func (o *office) publish(told ...events.Event) {
	o.t.Helper()
	err := pgx.BeginFunc(o.t.Context(), o.pool, func(tx pgx.Tx) error {
		for _, e := range told {
			if err := events.PublishTx(o.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.outbox.Wake()
}

// settle waits until every event was handled.
func (o *office) settle() {
	o.t.Helper()
	o.eventually("every event is handled", "SELECT NOT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)")
	if o.is("SELECT EXISTS (SELECT FROM failed)") {
		o.t.Fatal("an event failed")
	}
}

func (o *office) is(query string, args ...any) (yes bool) {
	o.t.Helper()
	if err := o.pool.QueryRow(o.t.Context(), query, args...).Scan(&yes); err != nil {
		o.t.Fatal(err)
	}
	return yes
}

func (o *office) eventually(what, query string, args ...any) {
	o.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(20 * time.Second); !o.is(query, args...); {
		select {
		case <-again.C:
		case <-deadline:
			o.t.Fatalf("it does not come true that %s", what)
		}
	}
}

// sendDue lets the sender work once.
func (o *office) sendDue() {
	o.t.Helper()
	if _, err := o.module.sendDue(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}
