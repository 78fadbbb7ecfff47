package natsbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
)

// TestMain lets the test binary also run as the broker, so that a test can kill one.
func TestMain(m *testing.M) {
	broker.Play()
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

const (
	topic    = eventtest.Topic
	durable  = "subscriber-publisher-happened-v1"
	patience = 20 * time.Second // how long the tests wait for what must happen
)

// mortal is a broker that the test may kill.
type mortal struct {
	*broker.Broker
	t *testing.T
}

func startBroker(t *testing.T) mortal {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Options{Command: broker.ThisTest, StoreDir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { b.Stop() })
	return mortal{b, t}
}

func (b mortal) kill() {
	b.t.Helper()
	must(b.t, b.Kill())
}

func (b mortal) restart() {
	b.t.Helper()
	must(b.t, b.Restart(b.t.Context()))
}

// exchangeStore replaces the store by a copy of copyOf, or empties it.
func (b mortal) exchangeStore(copyOf string) {
	b.t.Helper()
	must(b.t, os.RemoveAll(filepath.Join(b.StoreDir(), "jetstream")))
	if copyOf != "" {
		must(b.t, os.CopyFS(b.StoreDir(), os.DirFS(copyOf)))
	}
}

// sharedBroker is for all tests that do not stop it. Each has its own stream.
var sharedBroker = sync.OnceValues(func() (*broker.Broker, error) {
	return broker.Start(context.Background(), broker.Options{Command: broker.ThisTest})
})

// settings are a process's, and those of the command that provisions.
type settings struct {
	natsbus.Config
	natsbus.Keeping
}

// newConfig returns a configuration with its own stream on the broker at url, or on the shared one.
func newConfig(t testing.TB, url string) settings {
	t.Helper()
	if url == "" {
		shared, err := sharedBroker()
		must(t, err)
		url = shared.URL()
	}
	return settings{
		natsbus.Config{
			URL: url, Stream: "test-" + strings.ToLower(uuid.NewString()[:8]),
			NakDelay: 10 * time.Millisecond, PublishTimeout: 5 * time.Second,
		},
		natsbus.Keeping{Replicas: 1, MaxAge: time.Hour, AckWait: 3 * time.Second, MaxAckPending: 256},
	}
}

// open returns a connection of its own, like another process's, which closes with the test.
func open(t testing.TB, cfg settings) *natsbus.Bus {
	t.Helper()
	return openAs(t, cfg, "subscriber")
}

func openAs(t testing.TB, cfg settings, module string) *natsbus.Bus {
	t.Helper()
	bus, err := natsbus.Open(cfg.Config, module, "", slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { bus.Close() })
	return bus
}

// listeners are all that the tests subscribe with.
var listeners = map[string][]string{"subscriber": {topic}}

// provisioned returns an open bus whose stream and durables exist.
func provisioned(t testing.TB, cfg settings) *natsbus.Bus {
	t.Helper()
	bus := open(t, cfg)
	must(t, bus.Provision(t.Context(), cfg.Keeping, listeners))
	return bus
}

// connect returns a plain client, to look behind the bus.
func connect(t testing.TB, cfg settings) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(cfg.URL)
	must(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	must(t, err)
	return js
}

func streamOf(t testing.TB, cfg settings) jetstream.Stream {
	t.Helper()
	stream, err := connect(t, cfg).Stream(t.Context(), cfg.Stream)
	must(t, err)
	return stream
}

func durableOf(t testing.TB, cfg settings) *jetstream.ConsumerInfo {
	t.Helper()
	consumer, err := streamOf(t, cfg).Consumer(t.Context(), durable)
	must(t, err)
	return consumer.CachedInfo()
}

func newMessages(n int) []*message.Message {
	messages := make([]*message.Message, n)
	for i := range messages {
		messages[i] = message.NewMessage(uuid.NewString(), fmt.Appendf(nil, `{"thing":"%d"}`, i))
		messages[i].Metadata.Set(events.MetadataReplays, "0")
	}
	return messages
}

func publish(t *testing.T, bus *natsbus.Bus, messages ...*message.Message) {
	t.Helper()
	must(t, bus.Publish(topic, messages...))
}

// publishEventually publishes when the broker is back.
func publishEventually(t *testing.T, bus *natsbus.Bus, m *message.Message) {
	t.Helper()
	pgtest.Until(t, "it is published", func() bool { return bus.Publish(topic, m) == nil })
}

// subscribe returns the bus's messages until it closes.
func subscribe(t *testing.T, bus *natsbus.Bus) <-chan *message.Message {
	t.Helper()
	messages, err := bus.Subscribe(context.Background(), topic)
	must(t, err)
	return messages
}

func receive(t *testing.T, messages <-chan *message.Message, want *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-messages:
		if !ok {
			t.Fatal("the subscription has ended")
		}
		if !strings.EqualFold(m.UUID, want.UUID) { // the consumer makes the spelling canonical
			t.Fatalf("received %s %s, want %s %s", m.UUID, m.Payload, want.UUID, want.Payload)
		}
		return m
	case <-time.After(patience):
		t.Fatalf("%s is not delivered", want.Payload)
	}
	return nil
}

// silence fails if a message is delivered within d.
func silence(t *testing.T, d time.Duration, messages <-chan *message.Message) {
	t.Helper()
	select {
	case m := <-messages:
		t.Fatalf("received %s", m.Payload)
	case <-time.After(d):
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
