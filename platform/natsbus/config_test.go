package natsbus_test

import (
	"errors"
	"log/slog"
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
		"no stream":          {"NATS_STREAM", func(c *natsbus.Config) { c.Stream = "" }},
		"two words":          {"NATS_STREAM", func(c *natsbus.Config) { c.Stream = "a.b" }},
		"no replica":         {"NATS_REPLICAS", func(c *natsbus.Config) { c.Replicas = 0 }},
		"no age":             {"NATS_MAX_AGE", func(c *natsbus.Config) { c.MaxAge = 0 }},
		"no wait":            {"NATS_ACK_WAIT", func(c *natsbus.Config) { c.AckWait = 0 }},
		"nothing pending":    {"NATS_MAX_ACK_PENDING", func(c *natsbus.Config) { c.MaxAckPending = 0 }},
		"no delay":           {"NATS_NAK_DELAY", func(c *natsbus.Config) { c.NakDelay = 0 }},
		"no time to publish": {"NATS_PUBLISH_TIMEOUT", func(c *natsbus.Config) { c.PublishTimeout = 0 }},
		"too long to stop":   {"NATS_PUBLISH_TIMEOUT", func(c *natsbus.Config) { c.PublishTimeout = 30 * time.Second }},
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

// No error about the URL contains a part of its password.
func TestNoPasswordIsPrinted(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"nats://shop:s3cr%zzet@127.0.0.1:4222", "nats://shop:s3cr et@127.0.0.1:4222",
		"nats://shop:s3cret@127.0.0.1:port", "nats://shop:s3/cret@127.0.0.1:4222", "nats://shop:s3cret@[::1",
		"shop:s3cr%zzet@127.0.0.1:4222", "nats://127.0.0.1:4222,nats://shop:s3\x00cret@h",
	} {
		bus, err := natsbus.Open(natsbus.Config{URL: url, Stream: "events"}, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = bus.Close()
		}
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "NATS_URL") ||
			strings.Contains(err.Error(), "s3") ||
			strings.Contains(err.Error(), "zz") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}
