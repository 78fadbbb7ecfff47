package events_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"example.com/shop/platform/events"
)

// flakyBus fails that often after delivery, by an error or a panic, as when a process dies between
// publishing and marking. It refuses one topic and holds another.
type flakyBus struct {
	*events.MemoryBus
	mu       sync.Mutex
	failures int
	refused  string
	held     string
	release  chan struct{}
	asked    chan struct{} // when a held topic is published
	given    []given
}

// given is a message that was published.
type given struct{ id, topic, replays string }

func (b *flakyBus) refuse(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = topic
}

// hold blocks the topic until release is called, or the test ends. Outboxes that run before it end
// after that.
func (b *flakyBus) hold(t *testing.T, topic string) (release func()) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held, b.release, b.asked = topic, make(chan struct{}), make(chan struct{}, 10000)
	release = sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held = ""
		close(b.release)
	})
	t.Cleanup(release)
	return release
}

// all returns what was published so far.
func (b *flakyBus) all() []given {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.given)
}

func (b *flakyBus) Publish(topic string, messages ...*message.Message) error {
	b.mu.Lock()
	refused, held, release, asked := b.refused == topic, b.held == topic, b.release, b.asked
	for _, m := range messages {
		b.given = append(b.given, given{m.UUID, topic, m.Metadata[events.MetadataReplays]})
	}
	b.mu.Unlock()
	if refused {
		return errors.New("not this topic")
	}
	if held {
		asked <- struct{}{}
		<-release
	}
	err := b.MemoryBus.Publish(topic, messages...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		b.failures--
		if b.failures%2 == 1 {
			panic("a bug in the bus")
		}
		return errors.New("died before marking")
	}
	return err
}
