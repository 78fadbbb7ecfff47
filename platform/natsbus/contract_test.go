package natsbus_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"example.com/shop/platform/devkit/bustest"
)

func TestBus(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Bus {
		bus := provisioned(t, newConfig(t, ""))
		return bustest.Bus{
			Publisher: bus,
			Subscriber: func(t *testing.T, module string) message.Subscriber {
				subscriber := bus.Subscriber(module)
				t.Cleanup(func() { subscriber.Close() })
				return subscriber
			},
		}
	})
}

// TestWatermill runs watermill's test suite for brokers.
func TestWatermill(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	provisioned(t, cfg)
	// A consumer group is a module. Publisher and subscriber have a connection each, because the
	// suite closes one and goes on with the other.
	connect := func(t *testing.T, module string) (message.Publisher, message.Subscriber) {
		return open(t, cfg), open(t, cfg).Subscriber(module)
	}
	tests.TestPubSub(t, tests.Features{
		Persistent:     true,
		ConsumerGroups: true,

		ExactlyOnceDelivery:                 false, // at least once: the inbox makes it once
		GuaranteedOrder:                     false, // a nacked message is redelivered after later ones
		GuaranteedOrderWithSingleSubscriber: false, // as above
		RestartServiceCommand:               nil,   // TestTheBrokerIsKilled does more than restart
		RequireSingleInstance:               false, // any number of processes
		NewSubscriberReceivesOldMessages:    false, // a module has one position, which a second process of it shares
		ContextPreserved:                    false, // a context does not cross processes; the trace travels as metadata
	}, func(t *testing.T) (message.Publisher, message.Subscriber) { return connect(t, "module") }, connect)
}
