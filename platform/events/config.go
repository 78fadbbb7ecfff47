package events

import "time"

// Config holds the windows and sizes of delivery. The defaults suit a laptop and a small production.
type Config struct {
	// How many outbox rows the relay publishes in one transaction.
	RelayBatch int `env:"EVENTS_RELAY_BATCH" envDefault:"200"`
	// How many events a consumer applies in one transaction.
	ConsumerBatch int `env:"EVENTS_CONSUMER_BATCH" envDefault:"100"`
	// How often relay and retries look for work that nothing woke them for.
	Poll time.Duration `env:"EVENTS_POLL" envDefault:"1s"`
	// How many times an event is tried before it is a dead letter.
	MaxAttempts int `env:"EVENTS_MAX_ATTEMPTS" envDefault:"8"`
	// The pause before the first retry; it doubles with each attempt.
	RetryBase time.Duration `env:"EVENTS_RETRY_BASE" envDefault:"1s"`
	// The longest pause between two retries.
	RetryMax time.Duration `env:"EVENTS_RETRY_MAX" envDefault:"5m"`
	// How long published events are kept and can be replayed.
	OutboxRetention time.Duration `env:"EVENTS_OUTBOX_RETENTION" envDefault:"168h"`
	// How long handled events are remembered; longer than any outbox keeps them, or a replay would apply them twice.
	InboxRetention time.Duration `env:"EVENTS_INBOX_RETENTION" envDefault:"336h"`
}
