package notifications

import (
	"strings"
	"testing"
	"time"

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
		{"NOTIFICATIONS_SMTP_ADDR", func(c *Config) { c.SMTPAddr = "mail.example" }},
		{"NOTIFICATIONS_SMTP_ADDR", func(c *Config) { c.SMTPAddr = "mail.example:smtp" }},
		{"NOTIFICATIONS_SMTP_ADDR", func(c *Config) { c.SMTPAddr = "mail.example:0" }},
		{"NOTIFICATIONS_SMTP_ADDR", func(c *Config) { c.SMTPAddr = ":1025" }},
		{"NOTIFICATIONS_SMTP_TLS", func(c *Config) { c.SMTPTLS = "yes" }},
		{"NOTIFICATIONS_SMTP_TLS", func(c *Config) { c.SMTPTLS = "" }},
		{"NOTIFICATIONS_SMTP_USERNAME", func(c *Config) { c.SMTPTLS, c.SMTPUsername = tlsRequired, "shop" }},
		{"NOTIFICATIONS_SMTP_USERNAME", func(c *Config) { c.SMTPTLS, c.SMTPPassword = tlsRequired, "secret" }},
		{"NOTIFICATIONS_SMTP_USERNAME", func(c *Config) { c.SMTPUsername, c.SMTPPassword = "shop", "secret" }},
		{"NOTIFICATIONS_SMTP_USERNAME", func(c *Config) { c.SMTPTLS, c.SMTPUsername, c.SMTPPassword = tlsNone, "shop", "secret" }},
		{"NOTIFICATIONS_CONCURRENCY", func(c *Config) { c.Concurrency = 0 }},
		{"NOTIFICATIONS_SEND_TIMEOUT", func(c *Config) { c.SendTimeout = 0 }},
		{"NOTIFICATIONS_LEASE", func(c *Config) { c.Lease = c.SendTimeout }},
		{"NOTIFICATIONS_POLL", func(c *Config) { c.Poll = 0 }},
		{"NOTIFICATIONS_RETENTION", func(c *Config) { c.Retention = 14 * 24 * time.Hour }},
	} {
		cfg := usual
		test.spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.setting+" ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", test.setting, err)
		}
	}
}
