package orders

import (
	"testing"

	"example.com/shop/platform/devkit/moduletest"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	moduletest.Config(t, map[string][]func(*Config){
		"ORDERS_DEADLINE":      {func(c *Config) { c.Deadline = 0 }},
		"ORDERS_EXPIRY_POLL":   {func(c *Config) { c.ExpiryPoll = 0 }},
		"ORDERS_KEY_RETENTION": {func(c *Config) { c.KeyRetention = -1 }},
	})
}
