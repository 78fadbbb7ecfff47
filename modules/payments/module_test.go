package payments

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
		{"PAYMENTS_PROVIDER_URL", func(c *Config) { c.ProviderURL = "" }},
		{"PAYMENTS_PROVIDER_URL", func(c *Config) { c.ProviderURL = "provider.example:8091" }},
		{"PAYMENTS_PROVIDER_URL", func(c *Config) { c.ProviderURL = "http://provider.example?" }},
		{"PAYMENTS_PROVIDER_URL", func(c *Config) { c.ProviderURL = "http://:8091" }},
		{"PAYMENTS_CALL_TIMEOUT", func(c *Config) { c.CallTimeout = 0 }},
		{"PAYMENTS_CONCURRENCY", func(c *Config) { c.Concurrency = 0 }},
		{"PAYMENTS_LEASE", func(c *Config) { c.Lease = 2 * c.CallTimeout }},
		{"PAYMENTS_BACKOFF_FIRST", func(c *Config) { c.BackoffFirst = 0 }},
		{"PAYMENTS_BACKOFF_MOST", func(c *Config) { c.BackoffMost = c.BackoffFirst - 1 }},
		{"PAYMENTS_QUIET", func(c *Config) { c.Quiet = c.Lease + c.CallTimeout }},
		{"PAYMENTS_POLL", func(c *Config) { c.Poll = 0 }},
	} {
		cfg := usual
		test.spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.setting+" ") {
			t.Errorf("%s: %v", test.setting, err)
		}
	}
}
