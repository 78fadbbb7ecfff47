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

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/web"
)

const (
	order   = "0199a0c1-7f00-7000-8000-000000000001"
	other   = "0199a0c1-7f00-7000-8000-000000000002"
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
func (fakeMailer) Close()                                   {}

// outlet is the mailer that a test has put in last.
type outlet struct {
	mu sync.Mutex
	mailer
}

func (o *outlet) Send(ctx context.Context, m mail) error {
	o.mu.Lock()
	mailer := o.mailer
	o.mu.Unlock()
	return mailer.Send(ctx, m)
}

func (o *outlet) put(m mailer) {
	o.mu.Lock()
	before := o.mailer
	o.mailer = m
	o.mu.Unlock()
	if before != nil {
		before.Close()
	}
}

// office is the module with what a process gives it, and a clock that stands still until the test
// moves it. Nothing is sent before work.
type office struct {
	t         *testing.T
	module    *Module
	log       *slog.Logger
	test      *pgtest.DB
	db        *postgres.DB
	orders    *postgres.DB
	outlet    *outlet
	outbox    *events.Outbox // of orders
	published int
	server    *httptest.Server
	key       *tokens.Key

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
	Poll: 5 * time.Millisecond, Retention: 30 * 24 * time.Hour,
}

func setup(t *testing.T, cfg Config, mailer mailer) *office {
	t.Helper()
	ctx := t.Context()
	o := &office{t: t, clock: time.Now().UTC().Truncate(time.Microsecond), outlet: &outlet{mailer: mailer}}
	log := slog.New(slog.NewTextHandler(o, nil))
	o.log = log
	t.Cleanup(func() {
		if strings.Contains(o.logged.String(), address) {
			t.Errorf("an address is in the log:\n%s", o.logged.String())
		}
	})
	o.test = pgtest.New(t, pgtest.Schema{Module: "notifications", Migrations: notificationsmigrations.FS})
	o.db = o.test.Module(t, "notifications")
	o.orders = &postgres.DB{Pool: o.db.Pool, Module: "orders"} // whose part the test plays
	o.module = newModule(cfg, o.db, log, o.now, o.outlet)

	eventsConfig := events.Config{RelayBatch: 100, ConsumerBatch: 100, Poll: 100 * time.Millisecond, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour}
	bus := events.NewMemoryBus()
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	o.outbox = events.NewOutbox(o.orders, bus, eventsConfig, log)
	consumer := events.NewConsumer(o.db, bus, o.module.Handlers(), eventsConfig, log)
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
	verifier, err := web.NewVerifier(ctx,
		web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: key.PublicPEM()})
	if err != nil {
		t.Fatal(err)
	}
	doors := web.New(web.Config{}, verifier, log, postgres.Transient)
	if err := doors.Mount("notifications", o.module.Routes); err != nil {
		t.Fatal(err)
	}
	o.server = httptest.NewServer(doors.Handler())
	t.Cleanup(o.server.Close)
	return o
}

// run runs a loop until the test ends, or stop is called. What was started last stops first.
func run(t *testing.T, loop func(context.Context) error) (stop func()) {
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

// work runs the module's workers.
func (o *office) work() (stop func()) {
	o.t.Helper()
	var stops []func()
	for _, w := range o.module.Workers() {
		stops = append(stops, run(o.t, w))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// deliver publishes events, one after the other, and returns when the last has been handled.
func (o *office) deliver(all ...events.Event) {
	o.t.Helper()
	for _, e := range all {
		o.publish(e)
		o.settle()
	}
}

// publish publishes events in one transaction, as orders would.
func (o *office) publish(all ...events.Event) {
	o.t.Helper()
	err := o.orders.InTx(o.t.Context(), func(tx pgx.Tx) error {
		for _, e := range all {
			if err := o.outbox.PublishTx(o.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.published += len(all)
}

// settle waits until every event was handled.
func (o *office) settle() {
	o.t.Helper()
	o.eventually("every event is handled",
		"SELECT count(*) = $1 OR EXISTS (SELECT FROM failed) FROM inbox", o.published)
	if o.is("SELECT EXISTS (SELECT FROM failed)") {
		o.t.Fatal("an event failed")
	}
}

// rest waits until no mail is left to send.
func (o *office) rest() {
	o.t.Helper()
	o.eventually("no mail is left to send", "SELECT NOT EXISTS (SELECT FROM jobs WHERE dead_at IS NULL)")
}

func (o *office) is(query string, args ...any) (yes bool) {
	o.t.Helper()
	if err := o.db.QueryRow(o.t.Context(), query, args...).Scan(&yes); err != nil {
		o.t.Fatal(err)
	}
	return yes
}

func (o *office) exec(query string, args ...any) {
	o.t.Helper()
	if _, err := o.db.Exec(o.t.Context(), query, args...); err != nil {
		o.t.Fatal(err)
	}
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
