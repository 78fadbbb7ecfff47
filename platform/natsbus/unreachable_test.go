package natsbus_test

import (
	"testing"
	"time"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

// One of two processes of a module is cut off from its database while it holds all the events. The
// other one gets them soon.
func TestAnotherProcessHasTheEventsOfOneThatIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	const all = 40
	db, wire := eventtest.Through(t, s.Subscriber, 500*time.Millisecond)
	t.Cleanup(wire.Freeze())
	rarely := s.Config
	rarely.Poll = time.Hour // so that its retries hardly connect
	s.Consume(events.NewConsumer(db, open(t, s.bus),
		[]events.Handler{events.On(eventtest.Count)}, rarely, s.Log))
	s.publish(1, all)
	pgtest.Until(t, "it has some", func() bool {
		durable, err := connect(t, s.bus).Consumer(t.Context(), s.bus.Stream, "subscriber-publisher-happened-v1")
		return err == nil && durable.CachedInfo().NumAckPending+durable.CachedInfo().NumRedelivered > 0
	})
	s.subscribe()
	s.Applied(all)
	if dials := wire.Dials(); dials >= all { // one by one, each event would wait for several
		t.Errorf("the cut-off process tried to connect %d times until the other had %d events", dials, all)
	}
}
