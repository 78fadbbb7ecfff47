package natsbus_test

import (
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	cfg, err := process.Config[natsbus.Config]()
	if err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for name, test := range map[string]struct {
		setting string
		spoil   func(*natsbus.Config)
	}{
		"no stream":              {"NATS_STREAM", func(c *natsbus.Config) { c.Stream = "" }},
		"a stream of two words":  {"NATS_STREAM", func(c *natsbus.Config) { c.Stream = "a.b" }},
		"no replica":             {"NATS_REPLICAS", func(c *natsbus.Config) { c.Replicas = 0 }},
		"no age":                 {"NATS_MAX_AGE", func(c *natsbus.Config) { c.MaxAge = 0 }},
		"no wait":                {"NATS_ACK_WAIT", func(c *natsbus.Config) { c.AckWait = 0 }},
		"nothing pending":        {"NATS_MAX_ACK_PENDING", func(c *natsbus.Config) { c.MaxAckPending = 0 }},
		"no delay":               {"NATS_NAK_DELAY", func(c *natsbus.Config) { c.NakDelay = 0 }},
		"no time to publish":     {"NATS_PUBLISH_TIMEOUT", func(c *natsbus.Config) { c.PublishTimeout = 0 }},
		"as long as its relay's": {"NATS_PUBLISH_TIMEOUT", func(c *natsbus.Config) { c.PublishTimeout = 30 * time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoiled := cfg
			test.spoil(&spoiled)
			if err := spoiled.Validate(); err == nil || !strings.Contains(err.Error(), test.setting) {
				t.Errorf("got %v", err)
			}
		})
	}
}
