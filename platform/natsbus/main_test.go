package natsbus_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/natsbus"
)

// TestMain lets the test binary also run as the broker, so that a test can kill one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "broker" {
		if err := playBroker(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	before := goleak.IgnoreCurrent() // PostgreSQL keeps running
	code := m.Run()
	if shared, err := sharedBroker(); err == nil {
		shared.Stop()
	}
	if err := goleak.Find(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func playBroker(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	set := flag.NewFlagSet("broker", flag.ContinueOnError)
	port, store := set.Int("port", 0, ""), set.String("store", "", "")
	if err := set.Parse(args); err != nil {
		return err
	}
	return broker.Run(ctx, broker.Options{Port: *port, StoreDir: *store, Log: os.Stderr})
}

// startBroker starts a broker that the test may kill.
func startBroker(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Options{Command: []string{os.Args[0], "broker"}, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Stop() })
	return b
}

// sharedBroker is for all tests that do not stop it. Each has its own stream.
var sharedBroker = sync.OnceValues(func() (*broker.Broker, error) {
	return broker.Start(context.Background(), broker.Options{Command: []string{os.Args[0], "broker"}})
})

// newConfig returns a configuration with its own stream on the broker at url, or on the shared one.
func newConfig(t *testing.T, url string) natsbus.Config {
	t.Helper()
	if url == "" {
		shared, err := sharedBroker()
		if err != nil {
			t.Fatal(err)
		}
		url = shared.URL()
	}
	return natsbus.Config{
		URL: url, Stream: "test-" + strings.ToLower(uuid.NewString()[:8]), Replicas: 1, MaxAge: time.Hour,
		AckWait: 3 * time.Second, MaxAckPending: 256, NakDelay: 10 * time.Millisecond, PublishTimeout: 5 * time.Second,
	}
}

// open returns a connection of its own, like another process's, which closes with the test.
func open(t *testing.T, cfg natsbus.Config) *natsbus.Bus {
	t.Helper()
	bus, err := natsbus.Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	return bus
}

// provisioned returns an open bus whose stream exists.
func provisioned(t *testing.T, cfg natsbus.Config) *natsbus.Bus {
	t.Helper()
	bus := open(t, cfg)
	if err := bus.Provision(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return bus
}
