package events

import (
	"errors"
	"time"
)

// Config holds the sizes and times of delivery. The defaults suit a laptop or a small production.
type Config struct {
	// How many events of a topic the relay publishes in one call. Ten times as many wait in memory.
	RelayBatch int `env:"EVENTS_RELAY_BATCH" envDefault:"100"`
	// How many events a consumer handles in one transaction.
	ConsumerBatch int `env:"EVENTS_CONSUMER_BATCH" envDefault:"100"`
	// How long events of handlers that linger wait for others, to share a transaction.
	Linger time.Duration `env:"EVENTS_LINGER" envDefault:"50ms" min:"0"`
	// How often relay and retries look for work without being woken.
	Poll time.Duration `env:"EVENTS_POLL" envDefault:"1s"`
	// After how many failed attempts an event becomes a dead letter.
	MaxAttempts int `env:"EVENTS_MAX_ATTEMPTS" envDefault:"8"`
	// The pause before the first retry; it doubles with each attempt.
	RetryBase time.Duration `env:"EVENTS_RETRY_BASE" envDefault:"1s"`
	// The longest pause between two retries; jitter makes it up to half as long again.
	RetryMax time.Duration `env:"EVENTS_RETRY_MAX" envDefault:"5m"`
	// How long a published event is kept after it was written, and can be replayed.
	OutboxRetention time.Duration `env:"EVENTS_OUTBOX_RETENTION" envDefault:"168h"`
	// How long handled events are remembered: longer than any outbox keeps them, or a replay would
	// apply them twice. The difference is how long a replay may wait for a bus that is down.
	InboxRetention time.Duration `env:"EVENTS_INBOX_RETENTION" envDefault:"336h"`
	// How long a dead letter is kept to be redriven, with the personal data in it.
	DeadRetention time.Duration `env:"EVENTS_DEAD_RETENTION" envDefault:"720h"`
}

// Validate refuses to prune the inbox of what may be replayed.
func (c Config) Validate() error {
	if c.InboxRetention <= c.OutboxRetention {
		return errors.New("EVENTS_INBOX_RETENTION must be longer than EVENTS_OUTBOX_RETENTION, or a replay would apply events twice")
	}
	return nil
}
