package notifications

import (
	"testing"
	"time"

	"example.com/shop/platform/devkit/moduletest"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	addr := func(addr string) func(*Config) { return func(c *Config) { c.SMTPAddr = addr } }
	login := func(tls, name, password string) func(*Config) {
		return func(c *Config) { c.SMTPTLS, c.SMTPUsername, c.SMTPPassword = tls, name, password }
	}
	moduletest.Config(t, map[string][]func(*Config){
		"NOTIFICATIONS_SMTP_ADDR": {addr("mail.example"), addr("mail.example:smtp"), addr("mail.example:0"), addr(":1025")},
		"NOTIFICATIONS_SMTP_TLS":  {login("yes", "", ""), login("", "", "")},
		"NOTIFICATIONS_SMTP_USERNAME": {
			login(tlsRequired, "shop", ""), login(tlsRequired, "", "secret"),
			login(tlsOpportunistic, "shop", "secret"), login(tlsNone, "shop", "secret"),
		},
		"NOTIFICATIONS_LEASE":     {func(c *Config) { c.Lease = c.SendTimeout }},
		"NOTIFICATIONS_RETENTION": {func(c *Config) { c.Retention = 14 * 24 * time.Hour }},
	})
}

// Production refuses what lets somebody on the way read the mails.
func TestProductionNeedsTLSToTheMailServer(t *testing.T) {
	t.Parallel()
	for mode, safe := range map[string]bool{tlsOpportunistic: false, tlsNone: false, tlsRequired: true, tlsImplicit: true} {
		if unsafe := (Config{SMTPTLS: mode}).Unsafe(); (len(unsafe) == 0) != safe {
			t.Errorf("%s: got %q", mode, unsafe)
		}
	}
}
