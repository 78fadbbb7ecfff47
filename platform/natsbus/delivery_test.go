package natsbus_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

// system has a broker of its own, and a connection each for the publisher and the subscriber, like
// two processes.
type system struct {
	*eventtest.System
	t      *testing.T
	broker mortal
	bus    settings
	outbox *events.Outbox // the publisher's, which runs
}

func newSystem(t *testing.T) *system {
	t.Helper()
	b := startBroker(t)
	s := &system{System: eventtest.New(t, eventtest.Schema), t: t, broker: b, bus: newConfig(t, b.URL())}
	s.outbox = events.NewOutbox(s.Publisher, provisioned(t, s.bus), s.Config, s.Log)
	pgtest.Run(t, s.outbox.Run)
	return s
}

// subscribe runs a consumer of the subscriber.
func (s *system) subscribe() (stop func()) {
	s.t.Helper()
	handlers := []events.Handler{events.On(eventtest.Count)}
	return s.Consume(events.NewConsumer(s.Subscriber, open(s.t, s.bus), handlers, s.Config, s.Log))
}

func (s *system) publish(first, last int) {
	s.t.Helper()
	s.Commit(s.t.Context(), s.outbox, eventtest.Things(first, last)...)
}

// The broker is killed repeatedly during publishing and consuming.
func TestTheBrokerIsKilled(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.subscribe()
	const all, kills = 6000, 4
	placed := make(chan struct{})
	go func() {
		defer close(placed)
		for i := 1; i <= all; i += 10 {
			s.publish(i, i+9)
		}
	}()
	for kill := range kills {
		s.Eventually(s.Subscriber, 1, fmt.Sprintf("SELECT (count(*) >= %d)::integer FROM effects", (kill+1)*all/(kills+2)))
		s.broker.kill()
		s.broker.restart()
	}
	<-placed
	s.Drained()
	s.Applied(all)
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
}

func TestTheBrokerLosesItsStore(t *testing.T) {
	t.Parallel()
	for name, older := range map[string]bool{"everything": false, "what came after a copy of its store": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			stop := s.subscribe()
			s.publish(1, 50)
			s.Applied(50)
			stop()

			store := ""
			must(t, s.broker.Stop())
			if older {
				store = t.TempDir()
				must(t, os.CopyFS(store, os.DirFS(s.broker.StoreDir())))
			}
			s.broker.restart()
			s.publish(51, 100) // these are only on the broker and in the outbox
			s.Drained()
			s.broker.kill()
			s.broker.exchangeStore(store)
			s.broker.restart()

			provisioned(t, s.bus)
			s.publish(101, 150)
			s.subscribe()
			s.Applied(100) // the bus works again, without 50 events
			s.Drained()
			n, err := events.Replay(t.Context(), s.Publisher.Pool(), time.Now().Add(-time.Minute), func(int64) {})
			if err != nil || n != 150 {
				t.Fatalf("replay: %d, %v", n, err)
			}
			s.Applied(150)
			s.Drained()
			s.publish(151, 151)
			s.Applied(151)
		})
	}
}
