package saga

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// bus is a watermill publisher and subscriber that delivers nothing by itself. Publish stores an
// event; the test chooses what is delivered to which module, how often and in which order, and
// waits for each acknowledgement, so that a run can be repeated step by step.
type bus struct {
	mu        sync.Mutex
	written   map[string]published
	listeners map[seat]chan *message.Message
}

// published is an event that was published and may be delivered.
type published struct {
	topic string
	*message.Message
}

// seat is a module's subscription to a topic.
type seat struct{ listener, topic string }

func newBus() *bus {
	return &bus{written: map[string]published{}, listeners: map[seat]chan *message.Message{}}
}

// Publish stores the events and delivers none.
func (b *bus) Publish(topic string, messages ...*message.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		b.written[m.UUID] = published{topic, m}
	}
	return nil
}

func (b *bus) Close() error { return nil }

// subscriber is the bus as one module sees it.
type subscriber struct {
	*bus
	module string
}

func (s subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(chan *message.Message)
	s.listeners[seat{s.module, topic}] = out
	context.AfterFunc(ctx, func() { close(out) }) // nothing is delivered any more by then
	return out, nil
}

// events returns the stored events in the order in which they were written: their ids are UUIDv7.
func (b *bus) events() []published {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.written), func(x, y published) int { return cmp.Compare(x.UUID, y.UUID) })
}

// handledBy returns the modules that subscribe to the topic.
func (b *bus) handledBy(topic string) (modules []string) {
	for s := range b.listeners {
		if s.topic == topic {
			modules = append(modules, s.listener)
		}
	}
	slices.Sort(modules)
	return modules
}

// lose drops an event, which is not delivered again before a replay.
func (b *bus) lose(e published) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.written, e.UUID)
}

func (b *bus) loseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.written)
}

// deliver delivers the event to one subscriber and returns once that has acknowledged it.
func (b *bus) deliver(e published, listener string) error {
	m := e.Copy()
	m.SetContext(context.Background())
	patience := time.After(20 * time.Second)
	select {
	case b.listeners[seat{listener, e.topic}] <- m:
	case <-patience:
		return fmt.Errorf("%s does not receive %s", listener, e.topic)
	}
	select {
	case <-m.Acked():
		return nil
	case <-m.Nacked():
		return fmt.Errorf("%s did not acknowledge %s", listener, e.topic)
	case <-patience:
		return fmt.Errorf("%s takes too long to handle %s", listener, e.topic)
	}
}
