package notifications

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/web"
)

const (
	order   = "0199a0c1-7f00-7000-8000-000000000001"
	other   = "0199a0c1-7f00-7000-8000-000000000002"
	address = "ada@mail.example"
)

var (
	placed    = ordersapi.Placed{OrderID: order, CustomerID: "ada", Email: address, Version: 1}
	confirmed = ordersapi.Confirmed{OrderID: order, Total: ordersapi.Money{Amount: 2598, Currency: "EUR"}, Version: 3}
	cancelled = ordersapi.Cancelled{OrderID: order, Reason: "declined", Version: 3}
)

// tray is a mail server that takes the mails to ada, and has no time for others.
type tray chan mail

func newTray() tray { return make(tray, 100) }

func (mails tray) Send(_ context.Context, m mail) error {
	if m.To != address {
		return errors.New("not now")
	}
	mails <- m
	return nil
}

func (tray) Close() {}

// take returns the Message-IDs of the mails that have come, each with its own order's text.
func (mails tray) take(t *testing.T) (ids []string) {
	t.Helper()
	for len(mails) > 0 {
		m := <-mails
		if order, _, _ := strings.Cut(m.MessageID, "."); !strings.Contains(m.Body, order) {
			t.Errorf("the mail %s is about another order: %s", m.MessageID, m.Body)
		}
		ids = append(ids, m.MessageID)
	}
	return ids
}

// outlet is the mailer that a test has put in last.
type outlet struct{ atomic.Pointer[mailer] }

func (o *outlet) Send(ctx context.Context, m mail) error { return (*o.Load()).Send(ctx, m) }
func (o *outlet) Close()                                 { (*o.Load()).Close() }

// office is the module on its stage, with a mailer that a test replaces. Nothing is sent before a
// test runs the workers.
type office struct {
	*moduletest.Stage
	t      *testing.T
	module *Module
	outlet outlet
}

var testConfig = Config{
	From: "orders@shop.example", SMTPTLS: tlsOpportunistic, Concurrency: 4, SendTimeout: 3 * time.Second, Lease: time.Minute,
	Poll: 5 * time.Millisecond, MaxPerHour: 1000, Retention: 30 * 24 * time.Hour,
}

func setup(t *testing.T, mailer mailer) *office {
	t.Helper()
	o := &office{t: t}
	o.outlet.Store(&mailer)
	o.Stage = moduletest.New(t, "notifications", notificationsmigrations.FS)
	t.Cleanup(func() { // after everything has stopped
		if strings.Contains(o.Logged(), address) {
			t.Error("an address is in the log")
		}
	})
	o.module = newModule(testConfig, o.DB, o.Log, o.Now, &o.outlet)
	o.Start(o.module)
	return o
}

// working is the module that sends to the mail server at the address.
func working(t *testing.T, addr string) *office {
	t.Helper()
	o := setup(t, tray(nil))
	o.use(addr, nil)
	o.Work(o.module)
	return o
}

// use has the module send to another mail server.
func (o *office) use(addr string, change func(*Config)) {
	cfg := testConfig
	cfg.SMTPAddr = addr
	if change != nil {
		change(&cfg)
	}
	var next mailer = newSMTPMailer(cfg)
	(*o.outlet.Swap(&next)).Close()
}

// rest waits until no mail is left to send.
func (o *office) rest() {
	o.t.Helper()
	o.Eventually("no mail is left to send", "SELECT NOT EXISTS (SELECT FROM jobs WHERE dead_at IS NULL)")
}

// list is what staff sees of the order.
func (o *office) list(order string) (page web.Page[notificationJSON]) {
	o.t.Helper()
	o.Call(moduletest.Request{Path: "?order_id=" + order, Role: "staff"}).JSON(&page)
	return page
}
