package natsbus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
)

const topic = "publisher.happened.v1"

// patience is how long the tests wait for what must happen.
const patience = 20 * time.Second

func newMessage(text string) *message.Message {
	m := message.NewMessage(uuid.NewString(), fmt.Appendf(nil, `{"thing":%q}`, text))
	m.Metadata.Set(events.MetadataReplays, "0")
	return m
}

func newMessages(n int) []*message.Message {
	messages := make([]*message.Message, n)
	for i := range messages {
		messages[i] = newMessage(fmt.Sprint(i))
	}
	return messages
}

func publish(t *testing.T, bus *natsbus.Bus, messages ...*message.Message) {
	t.Helper()
	if err := bus.Publish(topic, messages...); err != nil {
		t.Fatal(err)
	}
}

func subscribe(t *testing.T, bus *natsbus.Bus) <-chan *message.Message {
	t.Helper()
	subscriber := bus.Subscriber("subscriber")
	t.Cleanup(func() { subscriber.Close() })
	messages, err := subscriber.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
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
			t.Fatalf("received %s, want %s", m.Payload, want.Payload)
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

// JetStream's own limit of deliveries would drop the message silently.
func TestNothingIsDroppedHoweverOftenItIsNacked(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	cfg.NakDelay = time.Millisecond
	bus := provisioned(t, cfg)
	messages := subscribe(t, bus)
	m := newMessage("stubborn")
	publish(t, bus, m)
	for range 50 {
		receive(t, messages, m).Nack()
	}
	receive(t, messages, m).Ack()
}

func TestOneProcessHoldsAMessageAsLongAsItLives(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	cfg.AckWait = 500 * time.Millisecond
	one, two := provisioned(t, cfg), provisioned(t, cfg)
	m := newMessage("slow")
	publish(t, one, m)
	first := subscribe(t, one)
	held := receive(t, first, m)
	second := subscribe(t, two)
	silence(t, 4*cfg.AckWait, second) // the first sends InProgress
	held.Ack()
	silence(t, 2*cfg.AckWait, second)

	other := newMessage("orphan")
	publish(t, two, other)
	select {
	case <-first:
		one.Close() // as if its process was killed: nothing is nacked
		receive(t, second, other).Ack()
	case got := <-second:
		two.Close()
		got.Ack()
		receive(t, first, other).Ack()
	case <-time.After(patience):
		t.Error("it is not delivered")
	}
}

// The durable is older, with settings by which a running process would lose the messages that it
// holds.
func TestADurableTakesTheSettingsOfItsProcesses(t *testing.T) {
	t.Parallel()
	older := newConfig(t, "")
	older.AckWait, older.MaxAckPending = 500*time.Millisecond, 2
	if err := provisioned(t, older).Provision(t.Context(), map[string][]string{"subscriber": {topic}}); err != nil {
		t.Fatal(err)
	}
	cfg := older
	cfg.AckWait, cfg.MaxAckPending = time.Minute, 3
	one, two := open(t, cfg), open(t, cfg)
	m := newMessage("slow")
	publish(t, one, m)
	held := receive(t, subscribe(t, one), m)
	silence(t, 4*older.AckWait, subscribe(t, two))
	held.Ack()
	durable, err := streamOf(t, cfg).Consumer(t.Context(), "subscriber-publisher-happened-v1")
	if err != nil {
		t.Fatal(err)
	}
	if is := durable.CachedInfo().Config; is.AckWait != cfg.AckWait || is.MaxAckPending != cfg.MaxAckPending {
		t.Errorf("the durable is %+v", is)
	}
}

func TestANackedMessageIsRedeliveredAtOnce(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	cfg.AckWait = time.Minute
	bus := provisioned(t, cfg)
	m := newMessage("nacked")
	publish(t, bus, m)
	leaving := bus.Subscriber("subscriber")
	messages, err := leaving.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, messages, m)
	leaving.Close()
	receive(t, subscribe(t, bus), m).Ack()
}

// A message on our subjects may have an attribute that cannot be decoded.
func TestAnInvalidMessageHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	bus := provisioned(t, cfg)
	messages := subscribe(t, bus)
	hello := nats.NewMsg(cfg.Stream + "." + topic)
	hello.Header.Set("ce-id", "%FF")
	if _, err := connect(t, cfg).PublishMsg(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	m := newMessage("an event")
	publish(t, bus, m)
	receive(t, messages, m).Ack()
	eventuallyNil(t, func() error {
		durable, err := streamOf(t, cfg).Consumer(t.Context(), "subscriber-publisher-happened-v1")
		if err == nil && durable.CachedInfo().AckFloor.Stream != 2 {
			err = fmt.Errorf("the durable is %+v", durable.CachedInfo())
		}
		return err
	})
}

func TestProvisioningMovesNoPosition(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	bus := provisioned(t, cfg)
	messages := subscribe(t, bus)
	for range 3 {
		m := newMessage("handled")
		publish(t, bus, m)
		receive(t, messages, m).Ack()
	}
	cfg.AckWait, cfg.MaxAge = time.Second, 2*time.Hour
	again := provisioned(t, cfg)
	for range 2 {
		err := again.Provision(t.Context(), map[string][]string{"subscriber": {topic}, "another": {topic}})
		if err != nil {
			t.Fatal(err)
		}
	}
	silence(t, 2*cfg.AckWait, messages)
	durable, err := streamOf(t, cfg).Consumer(t.Context(), "subscriber-publisher-happened-v1")
	if err != nil {
		t.Fatal(err)
	}
	info := durable.CachedInfo()
	if info.AckFloor.Stream != 3 || info.NumPending != 0 ||
		info.Config.AckWait != cfg.AckWait || info.Config.MaxDeliver != -1 {
		t.Errorf("the durable is %+v", info)
	}
	if info := streamOf(t, cfg).CachedInfo(); info.Config.MaxAge != cfg.MaxAge || !info.Config.AllowAtomicPublish {
		t.Errorf("the stream is %+v", info.Config)
	}
}

// eventuallyNil polls until check returns nil.
func eventuallyNil(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// connect returns a plain client, to look behind the bus.
func connect(t *testing.T, cfg natsbus.Config) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func streamOf(t *testing.T, cfg natsbus.Config) jetstream.Stream {
	t.Helper()
	stream, err := connect(t, cfg).Stream(t.Context(), cfg.Stream)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}
