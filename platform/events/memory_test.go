package events_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"example.com/shop/platform/devkit/bustest"
	"example.com/shop/platform/events"
)

func TestMemoryBus(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Bus {
		bus := events.NewMemoryBus()
		t.Cleanup(func() { _ = bus.Close() })
		return bustest.Bus{
			Publisher:  bus,
			Subscriber: func(*testing.T, string) message.Subscriber { return bus },
			Waits:      true,
		}
	})
}
