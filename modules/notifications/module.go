// Package notifications mails each customer that an order is confirmed or cancelled.
//
// It owns the schema notifications and nothing outside it. Every confirmed or cancelled order gets
// its mail at least once, always under the same Message-ID, and never before its message commits.
package notifications

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"slices"
	"time"

	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Config holds the module's settings.
type Config struct {
	// The mail server, host:port.
	SMTPAddr string `env:"NOTIFICATIONS_SMTP_ADDR" envDefault:"127.0.0.1:1025"`
	// opportunistic: STARTTLS if it is offered; required: STARTTLS or no mail; implicit: from the
	// first byte; none. Wherever there is TLS, the certificate has to be valid.
	SMTPTLS string `env:"NOTIFICATIONS_SMTP_TLS" envDefault:"opportunistic"`
	// The login, if the mail server wants one. It is only sent encrypted.
	SMTPUsername string `env:"NOTIFICATIONS_SMTP_USERNAME"`
	SMTPPassword string `env:"NOTIFICATIONS_SMTP_PASSWORD"`
	// Who the mails are from. Its domain ends each Message-ID.
	From Address `env:"NOTIFICATIONS_FROM" envDefault:"orders@shop.example"`
	// For how many orders of an hour one mailbox gets mails; those of further ones are withheld.
	MaxPerHour int `env:"NOTIFICATIONS_MAX_PER_HOUR" envDefault:"20"`
	// How many mails are sent at a time, each on a connection that carries one after the other.
	Concurrency int `env:"NOTIFICATIONS_CONCURRENCY" envDefault:"32"`
	// How long the mail server may take for one mail. Shorter than the lease.
	SendTimeout time.Duration `env:"NOTIFICATIONS_SEND_TIMEOUT" envDefault:"20s"`
	// How long a claim lasts; then its process counts as dead, and another one sends the mail.
	Lease time.Duration `env:"NOTIFICATIONS_LEASE" envDefault:"1m"`
	// How often mails whose next try is due are polled for.
	Poll time.Duration `env:"NOTIFICATIONS_POLL" envDefault:"1s"`
	// How long messages and addresses are kept: longer than the inbox, or a replay mails again.
	Retention time.Duration `env:"NOTIFICATIONS_RETENTION" envDefault:"720h"`
}

// The pause after a mail's first failed try, and the longest one. Tries have no limit: no mail may
// be lost until a person has repaired the connection or the login.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
)

// replayable is how long an event may be replayed: the default of EVENTS_INBOX_RETENTION. A
// deployment that raises that has to raise NOTIFICATIONS_RETENTION too.
const replayable = 14 * 24 * time.Hour

// Validate refuses settings that would send nothing, or the same mail twice.
func (c Config) Validate() error {
	_, err := hostOf(c.SMTPAddr)
	switch {
	case err != nil:
		return fmt.Errorf("NOTIFICATIONS_SMTP_ADDR is %w", err)
	case !slices.Contains([]string{tlsOpportunistic, tlsRequired, tlsImplicit, tlsNone}, c.SMTPTLS):
		return fmt.Errorf("NOTIFICATIONS_SMTP_TLS must be %s, %s, %s or %s",
			tlsOpportunistic, tlsRequired, tlsImplicit, tlsNone)
	case (c.SMTPUsername == "") != (c.SMTPPassword == ""):
		return errors.New("NOTIFICATIONS_SMTP_USERNAME and NOTIFICATIONS_SMTP_PASSWORD must be set together")
	case c.SMTPUsername != "" && c.SMTPTLS != tlsRequired && c.SMTPTLS != tlsImplicit:
		return fmt.Errorf("NOTIFICATIONS_SMTP_USERNAME needs NOTIFICATIONS_SMTP_TLS to be %s or %s, or the password could be sent in the clear",
			tlsRequired, tlsImplicit)
	case c.Lease <= c.SendTimeout:
		return errors.New("NOTIFICATIONS_LEASE must be longer than NOTIFICATIONS_SEND_TIMEOUT, or a mail that is being sent would be sent again")
	case c.Retention <= replayable:
		return fmt.Errorf("NOTIFICATIONS_RETENTION must be longer than %s, or a replayed event would mail again", replayable)
	}
	return nil
}

// Unsafe refuses in production that mails are sent in the clear, as they also are when somebody on
// the way removes the offer of STARTTLS.
func (c Config) Unsafe() []string {
	if c.SMTPTLS != tlsRequired && c.SMTPTLS != tlsImplicit {
		return []string{fmt.Sprintf("NOTIFICATIONS_SMTP_TLS is %s: set it to %s or %s", c.SMTPTLS, tlsRequired, tlsImplicit)}
	}
	return nil
}

// Address is one mail address, which is checked when the configuration is read.
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
	cfg    Config
	db     *postgres.DB
	mailer mailer
	now    func() time.Time
	mails  *jobs.Queue[mail, struct{}]
	pruner *worker.Worker
}

// New returns the module. It starts nothing, and takes no outbox, because it publishes nothing.
func New(cfg Config, db *postgres.DB, log *slog.Logger, now func() time.Time) *Module {
	return newModule(cfg, db, log, now, newSMTPMailer(cfg))
}

func newModule(cfg Config, db *postgres.DB, log *slog.Logger, now func() time.Time, mailer mailer) *Module {
	m := &Module{cfg: cfg, db: db, mailer: mailer, now: now}
	kind := jobs.Kind[mail, struct{}]{Name: "mail", Do: m.send, FinishTx: m.markSentTx}
	m.mails = jobs.NewQueue(db, kind, jobs.Config{
		Concurrency: cfg.Concurrency, Lease: cfg.Lease, Poll: cfg.Poll,
		BackoffFirst: backoffFirst, BackoffMost: backoffMost,
	}, log, now)
	m.pruner = worker.New("prune mails", pruneEvery, m.prune, log).Throttled()
	return m
}

// Publishes returns the events that it publishes: none.
func (m *Module) Publishes() []events.Event {
	return nil
}

// Workers returns the background loops to run.
func (m *Module) Workers() []func(context.Context) error {
	return []func(context.Context) error{m.sendMails, m.pruner.Run}
}
