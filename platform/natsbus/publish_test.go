package natsbus_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/events"
)

// A batch must not be refused forever, or it would hold up its topic.
func TestABatchIsPublished(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		known, batch int
		atomic       bool
		commit       string // header of the last message
	}{
		"at once":                     {batch: 50, atomic: true, commit: "1"},
		"it has one of them already":  {known: 1, batch: 50, atomic: true},
		"it has all of them already":  {known: 50, batch: 50, atomic: true, commit: "1"},
		"they are too many":           {batch: 1100, atomic: true},
		"it may not take any batches": {batch: 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t, "")
			bus := provisioned(t, cfg)
			stream := streamOf(t, cfg)
			config := stream.CachedInfo().Config
			if !config.AllowAtomicPublish {
				t.Error("the stream takes no batches")
			}
			config.AllowAtomicPublish = test.atomic
			_, err := connect(t, cfg).UpdateStream(t.Context(), config)
			must(t, err)
			batch := newMessages(test.batch)
			publish(t, bus, batch[:test.known]...)
			publish(t, bus, batch...)
			info, err := stream.Info(t.Context())
			must(t, err)
			last, err := stream.GetMsg(t.Context(), uint64(test.batch))
			must(t, err)
			if commit := last.Header.Get("Nats-Batch-Commit"); info.State.Msgs != uint64(test.batch) || commit != test.commit {
				t.Errorf("the stream has %d messages, want %d; commit %q", info.State.Msgs, test.batch, commit)
			}
		})
	}
}

// A broker before 2.12 takes a batch for single messages, and acknowledges only the last.
func TestAnOlderBrokerGetsSingleMessages(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	bus := open(t, cfg)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	conn := connect(t, cfg).Conn()
	_, err := conn.Subscribe(cfg.Stream+".>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if m.Reply != "" && m.Header.Get("Nats-Batch-Id") == "" {
			acknowledged[m.Header.Get(jetstream.MsgIDHeader)] = true
		}
		if m.Reply != "" {
			m.Respond([]byte(`{"stream":"old","seq":1}`))
		}
	})
	must(t, err)
	must(t, conn.Flush())
	publish(t, bus, newMessages(50)...)
	mu.Lock()
	defer mu.Unlock()
	if len(acknowledged) != 50 {
		t.Errorf("acknowledged: %v", acknowledged)
	}
}

// A broker that accepts less than an event's size is refused immediately, not with a large event.
func TestABrokerThatTakesLessThanAnEvent(t *testing.T) {
	t.Parallel()
	small, err := server.NewServer(&server.Options{
		Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 64 << 10, NoSigs: true,
	})
	must(t, err)
	small.Start()
	t.Cleanup(func() { small.Shutdown(); small.WaitForShutdown() })
	if !small.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	cfg := newConfig(t, small.ClientURL())
	bus := open(t, cfg)
	for what, err := range map[string]error{
		"provision": bus.Provision(t.Context(), cfg.Keeping, nil),
		"publish":   bus.Publish(topic, newMessages(1)...),
	} {
		if err == nil || !strings.Contains(err.Error(), "max_payload") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A message that expires is kept by the broker until then.
func TestAMessageThatExpires(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 50} { // a batch, too
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t, "")
			bus := provisioned(t, cfg)
			messages := newMessages(n)
			expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
			for _, m := range messages {
				m.Metadata.Set(events.MetadataExpires, expires)
			}
			publish(t, bus, messages...)
			stored, err := streamOf(t, cfg).GetMsg(t.Context(), uint64(n))
			must(t, err)
			if ttl, _ := time.ParseDuration(stored.Header.Get(jetstream.MsgTTLHeader)); ttl < 55*time.Minute || ttl > time.Hour {
				t.Errorf("it is kept for %q", stored.Header.Get(jetstream.MsgTTLHeader))
			}
		})
	}
}
