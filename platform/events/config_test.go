package events_test

import (
	"strings"
	"testing"

	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	cfg, err := process.Config[events.Config]()
	if err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for setting, spoil := range map[string]func(*events.Config){
		"EVENTS_RELAY_BATCH":      func(c *events.Config) { c.RelayBatch = 0 },
		"EVENTS_CONSUMER_BATCH":   func(c *events.Config) { c.ConsumerBatch = -1 },
		"EVENTS_MAX_ATTEMPTS":     func(c *events.Config) { c.MaxAttempts = 0 },
		"EVENTS_LINGER":           func(c *events.Config) { c.Linger = -1 },
		"EVENTS_POLL":             func(c *events.Config) { c.Poll = 0 },
		"EVENTS_RETRY_BASE":       func(c *events.Config) { c.RetryBase = 0 },
		"EVENTS_RETRY_MAX":        func(c *events.Config) { c.RetryMax = -1 },
		"EVENTS_OUTBOX_RETENTION": func(c *events.Config) { c.OutboxRetention = 0 },
		"EVENTS_INBOX_RETENTION":  func(c *events.Config) { c.InboxRetention = c.OutboxRetention },
		"EVENTS_DEAD_RETENTION":   func(c *events.Config) { c.DeadRetention = 0 },
	} {
		spoiled := cfg
		spoil(&spoiled)
		if err := spoiled.Validate(); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: got %v", setting, err)
		}
	}
}
