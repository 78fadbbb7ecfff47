package inventory

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
		{"INVENTORY_KEY_RETENTION", func(c *Config) { c.KeyRetention = 0 }},
	} {
		cfg := usual
		test.spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.setting+" ") {
			t.Errorf("%s: %v", test.setting, err)
		}
	}
}
