// Package notifications tells customers by mail what became of their orders.
//
// It owns the schema notifications and nothing outside it. Every confirmed or cancelled order gets its mail at least once,
// and always under the same Message-ID; no mail goes out before the fact that it tells is committed.
package notifications

import (
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/worker"
)

// Config is what a deployment may set.
type Config struct {
	// The mail server, host:port.
	SMTPAddr string `env:"NOTIFICATIONS_SMTP_ADDR" envDefault:"127.0.0.1:1025"`
	// opportunistic: STARTTLS if it is offered; required: STARTTLS or nothing; implicit: from the
	// first byte; none. Wherever there is TLS, the certificate has to be valid.
	SMTPTLS string `env:"NOTIFICATIONS_SMTP_TLS" envDefault:"opportunistic"`
	// The login, if the mail server wants one. It is only sent encrypted.
	SMTPUsername string `env:"NOTIFICATIONS_SMTP_USERNAME"`
	SMTPPassword string `env:"NOTIFICATIONS_SMTP_PASSWORD"`
	// Who the mails are from. Its domain ends each Message-ID.
	From Address `env:"NOTIFICATIONS_FROM" envDefault:"orders@shop.example"`
	// How many mails are claimed and sent at a time, each on a connection of its own.
	Concurrency int32 `env:"NOTIFICATIONS_CONCURRENCY" envDefault:"8"`
	// How long the mail server may take for one mail. Shorter than a worker's step (30 s) and than the lease.
	SendTimeout time.Duration `env:"NOTIFICATIONS_SEND_TIMEOUT" envDefault:"20s"`
	// How long a claimed message belongs to its worker; then the worker counts as dead and another one sends it.
	Lease time.Duration `env:"NOTIFICATIONS_LEASE" envDefault:"1m"`
	// How often the sender looks for messages whose next attempt is due.
	Poll time.Duration `env:"NOTIFICATIONS_POLL" envDefault:"1s"`
	// How long messages and addresses are kept. Longer than the inbox remembers events, or a replay would mail again.
	Retention time.Duration `env:"NOTIFICATIONS_RETENTION" envDefault:"720h"`
}

// stepLimit is what a worker gives one step of its work. A mail that may take longer would be cut off in the middle.
const stepLimit = 30 * time.Second

// replayable is how long an event may be heard again: the default of EVENTS_INBOX_RETENTION, which a deployment that raises it
// has to follow here.
const replayable = 14 * 24 * time.Hour

// Validate refuses what would send nothing, or the same mail twice.
func (c Config) Validate() error {
	_, err := hostOf(c.SMTPAddr)
	switch {
	case err != nil:
		return fmt.Errorf("NOTIFICATIONS_SMTP_ADDR is %w", err)
	case !slices.Contains([]string{tlsOpportunistic, tlsRequired, tlsImplicit, tlsNone}, c.SMTPTLS):
		return fmt.Errorf("NOTIFICATIONS_SMTP_TLS must be %s, %s, %s or %s", tlsOpportunistic, tlsRequired, tlsImplicit, tlsNone)
	case (c.SMTPUsername == "") != (c.SMTPPassword == ""):
		return errors.New("NOTIFICATIONS_SMTP_USERNAME and NOTIFICATIONS_SMTP_PASSWORD must be set together")
	case c.SMTPUsername != "" && c.SMTPTLS != tlsRequired && c.SMTPTLS != tlsImplicit:
		return fmt.Errorf("NOTIFICATIONS_SMTP_USERNAME needs NOTIFICATIONS_SMTP_TLS to be %s or %s, or the password could be sent in the clear",
			tlsRequired, tlsImplicit)
	case c.Concurrency < 1:
		return errors.New("NOTIFICATIONS_CONCURRENCY must be at least 1")
	case c.SendTimeout <= 0 || c.SendTimeout >= stepLimit:
		return fmt.Errorf("NOTIFICATIONS_SEND_TIMEOUT must be above 0 and below the %s of a worker's step", stepLimit)
	case c.Lease <= c.SendTimeout:
		return errors.New("NOTIFICATIONS_LEASE must be longer than NOTIFICATIONS_SEND_TIMEOUT, or a mail that is being sent would be sent again")
	case c.Poll <= 0:
		return errors.New("NOTIFICATIONS_POLL must be above 0")
	case c.Retention <= replayable:
		return fmt.Errorf("NOTIFICATIONS_RETENTION must be longer than %s, or a replayed event would mail again", replayable)
	}
	return nil
}

// Address is one mail address, checked when the configuration is read and not when the first mail fails.
type Address string

// UnmarshalText takes a bare address or one with a name, which it drops. It refuses one that needs
// quotes, which would be lost with the name.
func (a *Address) UnmarshalText(text []byte) error {
	parsed, err := netmail.ParseAddress(string(text))
	if err == nil {
		parsed, err = netmail.ParseAddress(parsed.Address)
	}
	if err != nil {
		return fmt.Errorf("read mail address: %w", err)
	}
	*a = Address(parsed.Address)
	return nil
}

// Module is notifications in one process. Any number of processes may serve one schema.
type Module struct {
	cfg       Config
	pool      *pgxpool.Pool
	mailer    mailer
	log       *slog.Logger
	now       func() time.Time
	sender    *worker.Worker
	forgetter *worker.Worker
}

// New makes the module and starts nothing. It takes no outbox, because the module publishes nothing.
func New(cfg Config, pool *pgxpool.Pool, log *slog.Logger, now func() time.Time) *Module {
	return newModule(cfg, pool, log, now, &smtpMailer{cfg})
}

func newModule(cfg Config, pool *pgxpool.Pool, log *slog.Logger, now func() time.Time, mailer mailer) *Module {
	m := &Module{cfg: cfg, pool: pool, mailer: mailer, log: log, now: now}
	m.sender = worker.New("send mails", cfg.Poll, m.sendDue, log)
	m.forgetter = worker.New("forget mails", forgetEvery, m.forget, log).Gently()
	return m
}

// Workers are the loops to run.
func (m *Module) Workers() []*worker.Worker { return []*worker.Worker{m.sender, m.forgetter} }
