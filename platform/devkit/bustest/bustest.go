// Package bustest tests what every bus promises, the one in memory and the broker alike.
package bustest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
)

// Bus is a bus under test, open and empty.
type Bus struct {
	Publisher message.Publisher
	// Subscriber returns the subscriber of a module. Each module gets every message.
	Subscriber func(t *testing.T, module string) message.Subscriber
	// Waits reports whether Publish returns only when every subscriber has acknowledged.
	Waits bool
}

// patience is how long the tests wait for what must happen.
const patience = 20 * time.Second

// Topic is that of all messages.
const Topic = "bustest.happened.v1"

// Run checks the promises against a fresh bus each.
func Run(t *testing.T, open func(t *testing.T) Bus) {
	tests := map[string]func(t *testing.T, bus Bus){
		"every module gets every message":            everyModule,
		"a batch arrives without acknowledgements":   batch,
		"a nacked message is not lost":               nacked,
		"publish returns after the acknowledgements": waits,
		"closing ends a publish under way":           closing,
		"concurrent publishers lose nothing":         concurrent,
		"a closed bus returns errors":                closed,
		"each subscriber has its own copy":           copies,
		"publishing without a subscriber succeeds":   withoutSubscriber,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func everyModule(t *testing.T, bus Bus) {
	received := map[string]<-chan *message.Message{}
	for _, module := range []string{"one", "two", "three"} {
		received[module] = subscribe(t, bus, module)
	}
	sent := newMessage()
	published := publish(bus, sent)
	for module, messages := range received {
		got := receive(t, messages)
		if got.UUID != sent.UUID || string(got.Payload) != string(sent.Payload) ||
			got.Metadata.Get("subject") != "parcel-1" {
			t.Errorf("%s received %s %s %v", module, got.UUID, got.Payload, got.Metadata)
		}
		got.Ack()
	}
	mustBeNil(t, published)
}

func batch(t *testing.T, bus Bus) {
	messages := subscribe(t, bus, "one")
	var batch []*message.Message
	for range 10 {
		batch = append(batch, newMessage())
	}
	published := publish(bus, batch...)
	var got []*message.Message
	for range batch {
		got = append(got, receive(t, messages))
	}
	for _, m := range got {
		m.Ack()
	}
	mustBeNil(t, published)
}

// nacked publishes as the relay does: again after an error.
func nacked(t *testing.T, bus Bus) {
	messages := subscribe(t, bus, "one")
	sent := newMessage()
	published := make(chan error, 1)
	go func() {
		err := bus.Publisher.Publish(Topic, sent.Copy())
		if err != nil {
			err = bus.Publisher.Publish(Topic, sent.Copy())
		}
		published <- err
	}()
	receive(t, messages).Nack()
	again := receive(t, messages)
	if again.UUID != sent.UUID {
		t.Errorf("received %s, want %s again", again.UUID, sent.UUID)
	}
	again.Ack()
	mustBeNil(t, published)
}

func waits(t *testing.T, bus Bus) {
	if !bus.Waits {
		t.Skip("this bus stores messages, and Publish returns then")
	}
	messages := subscribe(t, bus, "one")
	published := publish(bus, newMessage())
	m := receive(t, messages)
	select {
	case err := <-published:
		t.Fatalf("publish returned %v before the acknowledgement", err)
	default:
	}
	m.Ack()
	mustBeNil(t, published)
}

func closing(t *testing.T, bus Bus) {
	subscriber := bus.Subscriber(t, "one")
	messages, err := subscriber.Subscribe(t.Context(), Topic)
	if err != nil {
		t.Fatal(err)
	}
	published := publish(bus, newMessage(), newMessage())
	receive(t, messages) // and never acknowledge
	for _, c := range []interface{ Close() error }{subscriber, bus.Publisher} {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	select {
	case err := <-published:
		if err == nil && bus.Waits {
			t.Error("publish succeeded without an acknowledgement")
		}
	case <-time.After(patience):
		t.Fatal("publish hangs after close")
	}
	for range messages { // until the channel is closed
	}
}

func concurrent(t *testing.T, bus Bus) {
	const publishers, each = 16, 100
	var mu sync.Mutex
	received := map[string]map[string]bool{"one": {}, "two": {}}
	var done sync.WaitGroup
	for module, ids := range received {
		messages := subscribe(t, bus, module)
		done.Go(func() {
			for {
				select {
				case m := <-messages:
					mu.Lock()
					ids[m.UUID] = true
					enough := len(ids) == publishers*each
					mu.Unlock()
					m.Ack()
					if enough {
						return
					}
				case <-time.After(patience):
					return
				}
			}
		})
	}
	for range publishers {
		done.Go(func() {
			for range each {
				if err := bus.Publisher.Publish(Topic, newMessage()); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	done.Wait()
	for module, ids := range received {
		if len(ids) != publishers*each {
			t.Errorf("%s received %d messages, want %d", module, len(ids), publishers*each)
		}
	}
}

func closed(t *testing.T, bus Bus) {
	subscriber := bus.Subscriber(t, "one")
	if err := subscriber.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publisher.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := subscriber.Subscribe(t.Context(), Topic); err == nil {
		t.Error("subscribe after close succeeded")
	}
	if err := bus.Publisher.Publish(Topic, newMessage()); err == nil {
		t.Error("publish after close succeeded")
	}
}

func copies(t *testing.T, bus Bus) {
	one, two := subscribe(t, bus, "one"), subscribe(t, bus, "two")
	sent := newMessage()
	published := publish(bus, sent)
	first, second := receive(t, one), receive(t, two)
	first.Metadata.Set("subject", "changed")
	if got := second.Metadata.Get("subject"); got != "parcel-1" {
		t.Errorf("the other subscriber sees %q", got)
	}
	first.Ack()
	second.Ack()
	mustBeNil(t, published)
}

func withoutSubscriber(t *testing.T, bus Bus) { mustBeNil(t, publish(bus, newMessage())) }

func subscribe(t *testing.T, bus Bus, module string) <-chan *message.Message {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	messages, err := bus.Subscriber(t, module).Subscribe(ctx, Topic)
	if err != nil {
		t.Fatalf("subscribe %s: %v", module, err)
	}
	return messages
}

func publish(bus Bus, messages ...*message.Message) <-chan error {
	published := make(chan error, 1)
	go func() { published <- bus.Publisher.Publish(Topic, messages...) }()
	return published
}

func receive(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-messages:
		if !ok {
			t.Fatal("the subscription has ended")
		}
		return m
	case <-time.After(patience):
		t.Fatal("no message was delivered")
	}
	return nil
}

func mustBeNil(t *testing.T, published <-chan error) {
	t.Helper()
	select {
	case err := <-published:
		if err != nil {
			t.Errorf("publish: %v", err)
		}
	case <-time.After(patience):
		t.Error("publish does not return")
	}
}

func newMessage() *message.Message {
	id := uuid.NewString()
	m := message.NewMessage(id, fmt.Appendf(nil, `{"parcel_id":%q}`, id))
	m.Metadata.Set("subject", "parcel-1")
	return m
}
