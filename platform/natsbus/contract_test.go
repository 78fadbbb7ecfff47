package natsbus_test

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
)

// provisioning is a subscriber whose durables an operator makes before it subscribes.
type provisioning struct {
	message.Subscriber
	t      *testing.T
	cfg    settings
	module string
}

func (p provisioning) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := open(p.t, p.cfg).Provision(ctx, p.cfg.Keeping, map[string][]string{p.module: {topic}}); err != nil {
		return nil, err
	}
	return p.Subscriber.Subscribe(ctx, topic)
}

// TestWatermill runs watermill's test suite for brokers.
func TestWatermill(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	provisioned(t, cfg)
	// A consumer group is a module. Publisher and subscriber have a connection each, because the
	// suite closes one and goes on with the other.
	connect := func(t *testing.T, module string) (message.Publisher, message.Subscriber) {
		return open(t, cfg), provisioning{openAs(t, cfg, module), t, cfg, module}
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
