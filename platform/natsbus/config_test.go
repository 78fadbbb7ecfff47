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
	cfg, err := process.Config[settings]()
	if err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for _, test := range []struct {
		setting string
		spoil   func(*settings)
	}{
		{"NATS_STREAM", func(c *settings) { c.Stream = "" }},
		{"NATS_STREAM", func(c *settings) { c.Stream = "a.b" }},
		{"NATS_REPLICAS", func(c *settings) { c.Replicas = 6 }},
		{"NATS_PUBLISH_TIMEOUT", func(c *settings) { c.PublishTimeout = 30 * time.Second }}, // too long to stop
	} {
		spoiled := cfg
		test.spoil(&spoiled)
		if err := errors.Join(spoiled.Config.Validate(), spoiled.Keeping.Validate()); err == nil || !strings.Contains(err.Error(), test.setting) {
			t.Errorf("%+v: got %v", spoiled, err)
		}
	}
}

// No error about the URL contains a part of its password.
func TestNoPasswordIsPrinted(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"nats://app:s3cr%zzet@127.0.0.1:4222", "nats://app:s3cr et@127.0.0.1:4222",
		"nats://app:s3cret@127.0.0.1:port", "nats://app:s3/cret@127.0.0.1:4222", "nats://app:s3cret@[::1",
		"app:s3cr%zzet@127.0.0.1:4222", "nats://127.0.0.1:4222,nats://app:s3\x00cret@h",
	} {
		bus, err := natsbus.Open(natsbus.Config{URL: url, Stream: "events"}, "parcels", "", slog.New(slog.DiscardHandler))
		if err == nil {
			_ = bus.Close()
		}
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "NATS_URL") ||
			strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), "zz") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

// Production refuses a connection without any user.
func TestProductionNeedsAUserOnTheBroker(t *testing.T) {
	t.Parallel()
	for url, safe := range map[string]bool{
		"nats://127.0.0.1:4222": false, "nats://app:secret@127.0.0.1:4222": true, "127.0.0.1:4222": false,
		"nats://app:secret@127.0.0.1:4222,nats://127.0.0.1:4223": false,
	} {
		bus, err := natsbus.Open(natsbus.Config{URL: url, Stream: "events"}, "parcels", "", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if unsafe := bus.Unsafe(); (len(unsafe) == 0) != safe || strings.Contains(strings.Join(unsafe, ""), "secret") {
			t.Errorf("%s: got %q", url, unsafe)
		}
		_ = bus.Close()
	}
}
