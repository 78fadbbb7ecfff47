package notifications

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/moduletest"
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

// office is the module on its stage, with a mailer that a test replaces. Nothing is sent before a
// test runs the workers.
type office struct {
	*moduletest.Stage
	t      *testing.T
	module *Module
	outlet *outlet
}

var testConfig = Config{
	From: "orders@shop.example", SMTPTLS: tlsOpportunistic, Concurrency: 4, SendTimeout: 3 * time.Second, Lease: time.Minute,
	Poll: 5 * time.Millisecond, Retention: 30 * 24 * time.Hour,
}

func setup(t *testing.T, cfg Config, mailer mailer) *office {
	t.Helper()
	o := &office{t: t, outlet: &outlet{mailer: mailer}}
	o.Stage = moduletest.New(t, "notifications", notificationsmigrations.FS)
	t.Cleanup(func() { // after everything has stopped
		if strings.Contains(o.Logged(), address) {
			t.Error("an address is in the log")
		}
	})
	o.module = newModule(cfg, o.DB, o.Log, o.Now, o.outlet)
	o.Start(o.module)
	return o
}

// rest waits until no mail is left to send.
func (o *office) rest() {
	o.t.Helper()
	o.Eventually("no mail is left to send", "SELECT NOT EXISTS (SELECT FROM jobs WHERE dead_at IS NULL)")
}

func (o *office) exec(query string, args ...any) {
	o.t.Helper()
	if _, err := o.DB.Exec(o.t.Context(), query, args...); err != nil {
		o.t.Fatal(err)
	}
}
