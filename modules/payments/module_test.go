package payments

import (
	"testing"

	"example.com/shop/platform/devkit/moduletest"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	url := func(url string) func(*Config) { return func(c *Config) { c.ProviderURL = url } }
	moduletest.Config(t, map[string][]func(*Config){
		"PAYMENTS_PROVIDER_URL": {url(""), url("provider.example:8091"), url("http://provider.example?"), url("http://:8091")},
		"PAYMENTS_LEASE":        {func(c *Config) { c.Lease = 2 * c.CallTimeout }},
		"PAYMENTS_BACKOFF_MOST": {func(c *Config) { c.BackoffMost = c.BackoffFirst - 1 }},
		"PAYMENTS_QUIET":        {func(c *Config) { c.Quiet = c.Lease + c.CallTimeout }},
	})
}
