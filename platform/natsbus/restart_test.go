package natsbus_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/natsbus"
)

// watermill-nats redelivers the whole stream here.
func TestARestartRedeliversNothingAcknowledged(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	cfg := newConfig(t, b.URL())
	bus := provisioned(t, cfg)
	subscriber := bus.Subscriber("subscriber")
	messages, err := subscriber.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	batch := newMessages(100)
	publish(t, bus, batch...)
	for range batch {
		(<-messages).Ack()
	}
	subscriber.Close()
	bus.Close()
	for _, restart := range []func(){func() {}, func() { mustRestart(t, b) }} {
		restart()
		again := open(t, cfg)
		messages := subscribe(t, again)
		marker := newMessage("marker")
		publish(t, again, marker)
		receive(t, messages, marker).Ack()
		silence(t, 2*cfg.AckWait, messages)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A broker that lost its store counts from one again, so that another message gets the number of
// one that is still held.
func TestAnAcknowledgementIsForNoOtherMessage(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	cfg := newConfig(t, b.URL())
	one := provisioned(t, cfg)
	messages := subscribe(t, one)
	lost, precious := newMessage("lost"), newMessage("precious")
	publish(t, one, lost)
	held := receive(t, messages, lost)
	mustKill(t, b)
	exchangeStore(t, b, "")
	mustRestart(t, b)

	two := provisioned(t, cfg)
	publish(t, two, precious)
	keeper, keeps, next := two, subscribe(t, two), messages
	select {
	case <-keeps:
	case <-messages: // the first process has renewed its subscription first
		keeper, next = one, keeps
	case <-time.After(patience):
		t.Fatal("it is not delivered")
	}
	eventuallyNil(t, func() error { return one.Check(t.Context()) })
	held.Ack()
	silence(t, 100*time.Millisecond, next)
	keeper.Close() // as if its process was killed before it had handled the message
	receive(t, next, precious).Ack()
}

func TestABrokerThatIsDown(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	mustKill(t, b)
	bus := open(t, newConfig(t, b.URL()))
	messages := subscribe(t, bus)
	begin := time.Now()
	err := bus.Publish(topic, newMessage("too early"))
	if err == nil || bus.Check(t.Context()) == nil || time.Since(begin) > time.Second {
		t.Errorf("publish: %v after %s", err, time.Since(begin))
	}
	if bus.Ready(t.Context()) == nil {
		t.Error("a process is ready that has never reached the broker")
	}
	quick(t, closing(t, open(t, newConfig(t, b.URL()))))

	mustRestart(t, b)
	m := newMessage("in time")
	eventuallyNil(t, func() error { return bus.Publish(topic, m) }) // the subscription creates the stream
	receive(t, messages, m).Ack()

	closeAnother := closing(t, bus)
	mustKill(t, b)
	quick(t, closeAnother) // which does not wait for the broker to come back
	quick(t, bus.Close)
	for range messages { // until it is closed
	}
	if err := bus.Ready(t.Context()); err != nil {
		t.Errorf("a process that lost the broker is not ready: %v", err)
	}
}

// closing subscribes and returns the subscriber's Close.
func closing(t *testing.T, bus *natsbus.Bus) func() error {
	t.Helper()
	subscriber := bus.Subscriber("another")
	messages, err := subscriber.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	if bus.Check(t.Context()) == nil {
		<-messages
	}
	return subscriber.Close
}

func quick(t *testing.T, end func() error) {
	t.Helper()
	begin := time.Now()
	if err := end(); err != nil || time.Since(begin) > time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

// The broker restarts with an empty store under running processes.
func TestASubscriptionOutlivesItsDurable(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	bus := provisioned(t, newConfig(t, b.URL()))
	messages := subscribe(t, bus)
	before, after := newMessage("before"), newMessage("after")
	publish(t, bus, before)
	receive(t, messages, before).Ack()
	mustKill(t, b)
	exchangeStore(t, b, "")
	mustRestart(t, b)
	eventuallyNil(t, func() error { return bus.Publish(topic, after) })
	receive(t, messages, after).Ack()
}

func mustKill(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
}

func mustRestart(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// exchangeStore replaces the store by a copy of copyOf, or empties it.
func exchangeStore(t *testing.T, b *broker.Broker, copyOf string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(b.StoreDir(), "jetstream")); err != nil {
		t.Fatal(err)
	}
	if copyOf == "" {
		return
	}
	if err := os.CopyFS(b.StoreDir(), os.DirFS(copyOf)); err != nil {
		t.Fatal(err)
	}
}
