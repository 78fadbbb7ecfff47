package orders

import (
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	usual, err := process.Config[Config]()
	if err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for _, test := range []struct {
		setting string
		spoil   func(*Config)
	}{
		{"ORDERS_DEADLINE", func(c *Config) { c.Deadline = 0 }},
		{"ORDERS_EXPIRY_POLL", func(c *Config) { c.ExpiryPoll = 0 }},
		{"ORDERS_KEY_RETENTION", func(c *Config) { c.KeyRetention = -1 }},
	} {
		cfg := usual
		test.spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.setting+" ") {
			t.Errorf("%s: %v", test.setting, err)
		}
	}
}
