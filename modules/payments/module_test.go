package payments

import (
	"strings"
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

// Production refuses the simulated provider, and any that asks for no credential.
func TestProductionNeedsAProvider(t *testing.T) {
	t.Parallel()
	for url, secret := range map[string]string{"http://provider.example": "s3cret", "https://provider.example": "", "HTTP://provider.example": "s3cret"} {
		if unsafe := (Config{ProviderURL: url, ProviderSecret: secret}).Unsafe(); len(unsafe) != 1 || strings.Contains(unsafe[0], "s3cret") {
			t.Errorf("%s with %q: got %q", url, secret, unsafe)
		}
	}
	if unsafe := (Config{ProviderURL: "https://provider.example", ProviderSecret: "s3cret"}).Unsafe(); len(unsafe) > 0 {
		t.Errorf("got %q", unsafe)
	}
}
