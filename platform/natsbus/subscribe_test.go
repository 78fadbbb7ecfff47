package natsbus_test

import (
	"testing"
	"time"
)

func TestOneProcessHoldsAMessageAsLongAsItLives(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	cfg.AckWait = 500 * time.Millisecond
	one, two := provisioned(t, cfg), open(t, cfg)
	m := newMessages(2)
	publish(t, one, m[0])
	first := subscribe(t, one)
	held := receive(t, first, m[0])
	second := subscribe(t, two)
	silence(t, 4*cfg.AckWait, second) // the first sends InProgress
	held.Ack()
	silence(t, 2*cfg.AckWait, second)

	publish(t, two, m[1])
	select {
	case <-first:
		one.Cut() // as if its process was killed: nothing is nacked
		receive(t, second, m[1]).Ack()
	case got := <-second:
		two.Cut()
		got.Ack()
		receive(t, first, m[1]).Ack()
	case <-time.After(patience):
		t.Error("it is not delivered")
	}
}

// The durable was provisioned with settings by which a process would lose the messages that it
// holds, and is provisioned again. A process that leaves gives them back at once. None is dropped
// however often it is nacked, as it would be by JetStream's own limit of deliveries.
func TestADurableTakesOtherSettings(t *testing.T) {
	t.Parallel()
	older := newConfig(t, "")
	older.AckWait, older.MaxAckPending = 500*time.Millisecond, 2
	provisioned(t, older)
	cfg := older
	cfg.AckWait, cfg.MaxAckPending = time.Minute, 3
	one, two := provisioned(t, cfg), open(t, cfg)
	m := newMessages(1)[0]
	publish(t, one, m)
	first := subscribe(t, one)
	receive(t, first, m)
	second := subscribe(t, two)
	silence(t, 4*older.AckWait, second)
	if is := durableOf(t, cfg).Config; is.AckWait != cfg.AckWait || is.MaxAckPending != cfg.MaxAckPending {
		t.Errorf("the durable is %+v", is)
	}
	must(t, one.Close())
	for range 20 {
		receive(t, second, m).Nack()
	}
	receive(t, second, m).Ack()
}

func TestProvisioningMovesNoPosition(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	bus := provisioned(t, cfg)
	messages := subscribe(t, bus)
	for _, m := range newMessages(3) {
		publish(t, bus, m)
		receive(t, messages, m).Ack()
	}
	cfg.AckWait, cfg.MaxAge = time.Second, 2*time.Hour
	again := open(t, cfg)
	for range 2 {
		must(t, again.Provision(t.Context(), cfg.Keeping, map[string][]string{"subscriber": {topic}, "another": {topic}}))
	}
	silence(t, 2*cfg.AckWait, messages)
	if info := durableOf(t, cfg); info.AckFloor.Stream != 3 || info.NumPending != 0 ||
		info.Config.AckWait != cfg.AckWait || info.Config.MaxDeliver != -1 {
		t.Errorf("the durable is %+v", info)
	}
	if info := streamOf(t, cfg).CachedInfo(); info.Config.MaxAge != cfg.MaxAge || !info.Config.AllowAtomicPublish {
		t.Errorf("the stream is %+v", info.Config)
	}
}

// watermill-nats redelivers the whole stream here.
func TestARestartRedeliversNothingAcknowledged(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	cfg := newConfig(t, b.URL())
	bus := provisioned(t, cfg)
	messages := subscribe(t, bus)
	batch := newMessages(102)
	publish(t, bus, batch[2:]...)
	for range batch[2:] {
		(<-messages).Ack()
	}
	must(t, bus.Close())
	for i, restart := range []func(){func() {}, b.restart} {
		restart()
		again := open(t, cfg)
		messages := subscribe(t, again)
		publish(t, again, batch[i])
		receive(t, messages, batch[i]).Ack()
		silence(t, 2*cfg.AckWait, messages)
		must(t, again.Close())
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
	m := newMessages(2)
	lost, precious := m[0], m[1]
	publish(t, one, lost)
	held := receive(t, messages, lost)
	b.kill()
	b.exchangeStore("")
	b.restart()

	two := provisioned(t, cfg)
	publish(t, two, precious)
	keeps := subscribe(t, two)
	keeper, next := two, messages
	select {
	case <-keeps:
	case <-messages: // the first process has renewed its subscription first
		keeper, next = one, keeps
	case <-time.After(patience):
		t.Fatal("it is not delivered")
	}
	publishEventually(t, one, precious) // a duplicate: it is connected
	held.Ack()
	silence(t, 100*time.Millisecond, next)
	keeper.Cut() // as if its process was killed before it had handled the message
	receive(t, next, precious).Ack()
}

func TestABrokerThatIsDown(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.kill()
	cfg := newConfig(t, b.URL())
	bus := open(t, cfg)
	messages := subscribe(t, bus)
	m := newMessages(2)
	quick := func(end func() error) {
		t.Helper()
		begin := time.Now()
		if err := end(); err != nil || time.Since(begin) > time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	}
	quick(func() error {
		if err := bus.Publish(topic, m[0]); err == nil || bus.Check(t.Context()) == nil {
			t.Error("it seems to be up")
		}
		return nil
	})
	if bus.Ready(t.Context()) == nil {
		t.Error("a process is ready that has never reached the broker")
	}
	another := open(t, newConfig(t, b.URL()))
	subscribe(t, another)
	quick(another.Close)

	b.restart()
	publishEventually(t, provisioned(t, cfg), m[1])
	receive(t, messages, m[1]).Ack()
	b.kill()
	quick(bus.Close)     // it does not wait for the broker to come back
	for range messages { // until it is closed
	}
	if err := bus.Ready(t.Context()); err != nil {
		t.Errorf("a process that lost the broker is not ready: %v", err)
	}
}
