package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"
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

var (
	errBusClosed = errors.New("the bus is closed")
	errGone      = errors.New("a subscriber is gone")
)

// Memory is the bus's name.
const Memory = "memory"

// Name returns Memory.
func (*MemoryBus) Name() string { return Memory }

// Ready returns nil: there is nothing to reach.
func (*MemoryBus) Ready(context.Context) error { return nil }

// Durable reports that an event for which there is no subscription is lost.
func (*MemoryBus) Durable() bool { return false }

// NewMemoryBus returns an open bus without subscribers.
func NewMemoryBus() *MemoryBus { return &MemoryBus{topics: map[string][]*subscription{}} }

// subscription is one subscriber's channel, which is closed when ctx has ended and nothing sends to
// it any more.
type subscription struct {
	ctx     context.Context //nolint:containedctx // watermill gives each message its subscriber's context
	end     context.CancelFunc
	out     chan *message.Message
	sending sync.RWMutex // locked for reading while something sends to out
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
	var delivering errgroup.Group
	for _, s := range subscriptions {
		delivering.Go(func() error { return s.deliver(messages) })
	}
	if err := delivering.Wait(); err != nil {
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
	s := &subscription{out: make(chan *message.Message)}
	s.ctx, s.end = context.WithCancel(ctx)
	// A new slice, because Publish reads the old one without the lock.
	b.topics[topic] = append(slices.Clone(b.topics[topic]), s)
	context.AfterFunc(s.ctx, func() {
		s.sending.Lock()
		defer s.sending.Unlock()
		close(s.out)
	})
	return s.out, nil
}

// Close ends every subscription. A Publish under way, and every later call, returns an error.
func (b *MemoryBus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, subscriptions := range b.topics {
		for _, s := range subscriptions {
			s.end()
		}
	}
	return nil
}

// deliver sends all messages before it awaits acknowledgements, so that they can be one batch.
func (s *subscription) deliver(messages []*message.Message) error {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if s.ctx.Err() != nil {
		return errGone
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	copies := make([]*message.Message, len(messages))
	for i, m := range messages {
		copies[i] = m.Copy()
		copies[i].SetContext(ctx)
		select {
		case s.out <- copies[i]:
		case <-s.ctx.Done():
			return errGone
		}
	}
	for _, c := range copies {
		select {
		case <-c.Acked():
		case <-c.Nacked():
			return fmt.Errorf("a subscriber nacked event %s", c.UUID)
		case <-s.ctx.Done():
			return errGone
		}
	}
	return nil
}
