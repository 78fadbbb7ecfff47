package events

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the windows and sizes of delivery. The defaults suit a laptop and a small production.
type Config struct {
	// How many events of a topic the relay gives to the bus at once. Ten times as many of each wait
	// in memory, and more for the poll.
	RelayBatch int `env:"EVENTS_RELAY_BATCH" envDefault:"100"`
	// How many events a consumer applies in one transaction.
	ConsumerBatch int `env:"EVENTS_CONSUMER_BATCH" envDefault:"100"`
	// How long events wait for others, that go to handlers which linger: one transaction for many.
	Linger time.Duration `env:"EVENTS_LINGER" envDefault:"50ms"`
	// How often relay and retries look for work that nothing woke them for.
	Poll time.Duration `env:"EVENTS_POLL" envDefault:"1s"`
	// How many times an event is tried before it is a dead letter.
	MaxAttempts int `env:"EVENTS_MAX_ATTEMPTS" envDefault:"8"`
	// The pause before the first retry; it doubles with each attempt.
	RetryBase time.Duration `env:"EVENTS_RETRY_BASE" envDefault:"1s"`
	// The longest pause between two retries.
	RetryMax time.Duration `env:"EVENTS_RETRY_MAX" envDefault:"5m"`
	// How long after it was written a published event is kept and can be replayed.
	OutboxRetention time.Duration `env:"EVENTS_OUTBOX_RETENTION" envDefault:"168h"`
	// How long handled events are remembered; longer than any outbox keeps them, or a replay would apply them twice. The difference
	// is also how long a replay may wait for a bus that is down.
	InboxRetention time.Duration `env:"EVENTS_INBOX_RETENTION" envDefault:"336h"`
	// How long a dead letter waits to be redriven. It holds the event as it came, personal data and all, so it may not stay for ever.
	DeadRetention time.Duration `env:"EVENTS_DEAD_RETENTION" envDefault:"720h"`
}

// Validate refuses what would make a loop spin, stand still, or forget what it must still know.
func (c Config) Validate() error {
	var errs []error
	for _, size := range []struct {
		name  string
		value int
	}{
		{"EVENTS_RELAY_BATCH", c.RelayBatch},
		{"EVENTS_CONSUMER_BATCH", c.ConsumerBatch},
		{"EVENTS_MAX_ATTEMPTS", c.MaxAttempts},
	} {
		if size.value < 1 {
			errs = append(errs, fmt.Errorf("%s must be at least 1", size.name))
		}
	}
	for _, window := range []struct {
		name  string
		value time.Duration
	}{
		{"EVENTS_POLL", c.Poll},
		{"EVENTS_RETRY_BASE", c.RetryBase},
		{"EVENTS_RETRY_MAX", c.RetryMax},
		{"EVENTS_OUTBOX_RETENTION", c.OutboxRetention},
		{"EVENTS_INBOX_RETENTION", c.InboxRetention},
		{"EVENTS_DEAD_RETENTION", c.DeadRetention},
	} {
		if window.value <= 0 {
			errs = append(errs, fmt.Errorf("%s must be longer than nothing", window.name))
		}
	}
	if c.Linger < 0 {
		errs = append(errs, errors.New("EVENTS_LINGER must not be below 0"))
	}
	if c.InboxRetention <= c.OutboxRetention {
		errs = append(errs, errors.New("EVENTS_INBOX_RETENTION must be longer than EVENTS_OUTBOX_RETENTION, or a replay would apply events twice"))
	}
	return errors.Join(errs...)
}
