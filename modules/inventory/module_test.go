package inventory

import (
	"testing"

	"example.com/shop/platform/devkit/moduletest"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	moduletest.Config(t, map[string][]func(*Config){
		"INVENTORY_KEY_RETENTION": {func(c *Config) { c.KeyRetention = 0 }},
	})
}
