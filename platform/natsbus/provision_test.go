package natsbus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/process"
)

// A process makes no durable. It is not ready before there is one, and says what to do. One that
// had it serves on when the broker has lost it, and says so. In both cases it goes on by itself.
func TestAProcessNeedsItsDurable(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	cfg := newConfig(t, b.URL())
	bus := open(t, cfg)
	messages := subscribe(t, bus)
	pgtest.Until(t, "it is not ready", func() bool {
		err := bus.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), durable+": run seam events provision")
	})
	if _, err := connect(t, cfg).Stream(t.Context(), cfg.Stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("it has made the stream (%v)", err)
	}
	for i, m := range newMessages(2) {
		if i > 0 {
			b.kill()
			b.exchangeStore("")
			b.restart()
			pgtest.Until(t, "it says what is lost", func() bool {
				note, noted := errors.AsType[process.Note](bus.Ready(t.Context()))
				return noted && strings.Contains(string(note), durable+": run seam events provision, and replay")
			})
		}
		provisioned(t, cfg)
		publishEventually(t, bus, m)
		receive(t, messages, m).Ack()
		if err := bus.Ready(t.Context()); err != nil {
			t.Errorf("it is not ready once it is provisioned: %v", err)
		}
	}
}
