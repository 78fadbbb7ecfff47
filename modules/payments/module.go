// Package payments captures the money for an order, and refunds it when the order is cancelled.
//
// It owns the schema payments and nothing outside it. Whatever process dies, an order is captured
// and refunded once at most, and a cancelled order is refunded: a call is a row before it is made.
package payments

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Config holds the module's settings.
type Config struct {
	// Where the payment provider is.
	ProviderURL string `env:"PAYMENTS_PROVIDER_URL" envDefault:"http://127.0.0.1:8091"`
	// The provider's credential, sent as a bearer token; none if empty, as the simulated one may want.
	ProviderSecret string `env:"PAYMENTS_PROVIDER_SECRET"`
	// How long one call may take before its outcome counts as unknown.
	CallTimeout time.Duration `env:"PAYMENTS_CALL_TIMEOUT" envDefault:"2s"`
	// How many captures, and as many refunds, may be under way in this process.
	Concurrency int `env:"PAYMENTS_CONCURRENCY" envDefault:"64"`
	// How long a claim lasts, longer than two calls. A crash delays a payment by as much.
	Lease time.Duration `env:"PAYMENTS_LEASE" envDefault:"10s"`
	// The pause after the first failed try; it doubles with each further one.
	BackoffFirst time.Duration `env:"PAYMENTS_BACKOFF_FIRST" envDefault:"100ms"`
	// The longest pause between two tries; jitter makes it up to half as long again.
	BackoffMost time.Duration `env:"PAYMENTS_BACKOFF_MOST" envDefault:"30s"`
	// How long after a cancellation a capture that the provider has no record of is given up.
	Quiet time.Duration `env:"PAYMENTS_QUIET" envDefault:"1m"`
	// How often jobs of other processes are polled for, such as of one that died.
	Poll time.Duration `env:"PAYMENTS_POLL" envDefault:"1s"`
}

// Validate refuses settings by which no call is made, or two processes call for one payment.
func (c Config) Validate() error {
	_, err := process.BaseURL(c.ProviderURL)
	switch {
	case err != nil:
		return fmt.Errorf("PAYMENTS_PROVIDER_URL is %w", err)
	case c.Lease <= 2*c.CallTimeout:
		return errors.New("PAYMENTS_LEASE must be longer than twice PAYMENTS_CALL_TIMEOUT: a claimer may look up and then call")
	case c.BackoffMost < c.BackoffFirst:
		return errors.New("PAYMENTS_BACKOFF_MOST must not be below PAYMENTS_BACKOFF_FIRST")
	case c.Quiet <= c.Lease+c.CallTimeout:
		return errors.New("PAYMENTS_QUIET must be longer than PAYMENTS_LEASE and PAYMENTS_CALL_TIMEOUT together, " +
			"or a capture that begins at the end of its lease would be taken for lost")
	}
	return nil
}

// Unsafe refuses a provider in production that others can pose as, and one that takes us for
// anybody.
func (c Config) Unsafe() (found []string) {
	if !strings.HasPrefix(c.ProviderURL, "https://") {
		found = append(found, "PAYMENTS_PROVIDER_URL is no https:// URL: set it to that of the payment provider")
	}
	if c.ProviderSecret == "" {
		found = append(found, "PAYMENTS_PROVIDER_SECRET is not set: set it, or PAYMENTS_PROVIDER_SECRET_FILE, to the provider's credential")
	}
	return found
}

// Module is payments in one process. Any number of processes may serve one schema.
type Module struct {
	cfg      Config
	db       *postgres.DB
	outbox   *events.Outbox
	now      func() time.Time
	provider provider
	captures *jobs.Queue[call, learned]
	refunds  *jobs.Queue[call, learned]
}

// New returns the module. It starts nothing.
func New(cfg Config, db *postgres.DB, outbox *events.Outbox, log *slog.Logger, now func() time.Time) *Module {
	return newModule(cfg, db, outbox, log, now, newHTTPProvider(cfg))
}

func newModule(
	cfg Config, db *postgres.DB, outbox *events.Outbox, log *slog.Logger, now func() time.Time, p provider,
) *Module {
	m := &Module{cfg: cfg, db: db, outbox: outbox, now: now, provider: p}
	limits := jobs.Config{
		Concurrency: cfg.Concurrency, Lease: cfg.Lease, Poll: cfg.Poll,
		BackoffFirst: cfg.BackoffFirst, BackoffMost: cfg.BackoffMost,
	}
	m.captures = jobs.NewQueue(db, jobs.Kind[call, learned]{
		Name: "capture", Do: m.capture, Check: m.checkCapture, FinishTx: m.settleTx,
	}, limits, log, now)
	m.refunds = jobs.NewQueue(db, jobs.Kind[call, learned]{
		Name: "refund", Do: m.refund, Check: m.checkRefund, FinishTx: m.settleTx,
	}, limits, log, now)
	return m
}

// Publishes returns the events that it publishes, each without a value.
func (m *Module) Publishes() []events.Event {
	return []events.Event{paymentsapi.Captured{}, paymentsapi.Declined{}, paymentsapi.Refunded{}}
}

// Workers returns the background loops to run.
func (m *Module) Workers() []func(context.Context) error {
	return []func(context.Context) error{m.captures.Run, m.refunds.Run}
}
