package events

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// MemoryBus connects the modules of one process. It is a watermill Publisher and Subscriber that
// stores nothing: Publish returns once every subscriber has acknowledged, so events wait only in
// the outbox.
//
// A topic never forgets a subscriber. Publishing to one that has gone is an error, because the
// event would be lost for it; so subscribe before the first relay runs.
//
// Publishing to a topic without subscribers succeeds, and the event counts as published. So a
// process of an older release publishes nothing to a new subscriber: after a rolling restart that
// adds one, Replay what was written since it began.
type MemoryBus struct {
	mu     sync.RWMutex
	topics map[string][]*subscription
	closed bool
}

var errBusClosed = errors.New("the bus is closed")

// Memory is the bus's name.
const Memory = "memory"

// Name returns Memory.
func (*MemoryBus) Name() string { return Memory }

// Ready returns nil: there is nothing to reach.
func (*MemoryBus) Ready(context.Context) error { return nil }

// Subscriber returns the bus: a subscriber's module does not matter to it.
func (b *MemoryBus) Subscriber(string) message.Subscriber { return b }

// NewMemoryBus returns an open bus without subscribers.
func NewMemoryBus() *MemoryBus { return &MemoryBus{topics: map[string][]*subscription{}} }

// subscription is one subscriber's channel. It is closed only when nothing sends to it any more.
type subscription struct {
	ctx     context.Context //nolint:containedctx // watermill gives each message its subscriber's context
	out     chan *message.Message
	gone    chan struct{}
	once    sync.Once
	sending sync.WaitGroup
	mu      sync.Mutex // orders sending.Add before sending.Wait
}

// Publish returns when every subscriber of the topic has acknowledged every message. An error means
// that at least one may have missed at least one message: publish them again.
func (b *MemoryBus) Publish(topic string, messages ...*message.Message) error {
	b.mu.RLock()
	closed, subscriptions := b.closed, b.topics[topic]
	b.mu.RUnlock()
	if closed {
		return errBusClosed
	}
	results := make(chan error, len(subscriptions))
	for _, s := range subscriptions {
		go func() { results <- s.deliver(messages) }()
	}
	var errs []error
	for range subscriptions {
		errs = append(errs, <-results)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Subscribe returns a new subscriber's channel, which is closed when ctx ends or the bus closes.
func (b *MemoryBus) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errBusClosed
	}
	s := &subscription{ctx: ctx, out: make(chan *message.Message), gone: make(chan struct{})}
	// A new slice, because Publish reads the old one without the lock.
	b.topics[topic] = append(append([]*subscription{}, b.topics[topic]...), s)
	context.AfterFunc(ctx, s.close)
	return s.out, nil
}

// Close ends every subscription. A Publish under way, and every later call, returns an error.
func (b *MemoryBus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, subscriptions := range b.topics {
		for _, s := range subscriptions {
			s.close()
		}
	}
	return nil
}

// deliver sends all messages before it awaits acknowledgements, so that they can be one batch.
func (s *subscription) deliver(messages []*message.Message) error {
	if !s.beginSending() {
		return errors.New("a subscriber is gone")
	}
	defer s.sending.Done()
	copies := make([]*message.Message, 0, len(messages))
	for _, m := range messages {
		c := m.Copy()
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		c.SetContext(ctx)
		select {
		case s.out <- c:
			copies = append(copies, c)
		case <-s.gone:
			return errors.New("a subscriber is gone")
		}
	}
	for _, c := range copies {
		select {
		case <-c.Acked():
		case <-c.Nacked():
			return fmt.Errorf("a subscriber nacked event %s", c.UUID)
		case <-s.gone:
			return errors.New("a subscriber is gone")
		}
	}
	return nil
}

func (s *subscription) beginSending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gone:
		return false
	default:
		s.sending.Add(1)
		return true
	}
}

func (s *subscription) close() {
	s.once.Do(func() {
		s.mu.Lock()
		close(s.gone)
		s.mu.Unlock()
		go func() {
			s.sending.Wait()
			close(s.out)
		}()
	})
}
