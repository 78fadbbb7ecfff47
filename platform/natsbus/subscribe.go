package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/process"
)

// Subscribe returns the module's messages of a topic, until ctx ends or the bus closes. Each goes to
// one of the module's processes, and many come before the first is acknowledged. If the broker is
// down, or is not provisioned, it subscribes when that is mended.
func (b *Bus) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Err() != nil {
		return nil, errClosed
	}
	l := &listener{bus: b, topic: topic, out: make(chan *message.Message), log: b.log.With("topic", topic)}
	b.listening.Go(func() {
		ctx, stop := context.WithCancel(ctx)
		defer context.AfterFunc(b.open, stop)()
		l.run(ctx, stop)
	})
	return l.out, nil
}

// A broken subscription is noticed after two missed heartbeats, and renewed after a pause. Until
// its pull expires the broker delivers to a process that it cannot reach, and each of those
// messages then waits for AckWait. So pulls are short, and repeated.
const (
	heartbeat  = 2 * time.Second
	pullExpiry = 5 * time.Second // more than two heartbeats, or the client refuses
	pause      = 500 * time.Millisecond
)

// listener is one subscription: a loop that pulls, and a goroutine for each unacknowledged message.
// So none waits in a buffer while its AckWait runs out, and MaxAckPending bounds how many are held.
type listener struct {
	bus     *Bus
	topic   string
	log     *slog.Logger
	known   bool // the broker had the durable, at least once
	out     chan *message.Message
	holding sync.WaitGroup
}

func (l *listener) run(ctx context.Context, stop context.CancelFunc) {
	defer close(l.out) // when nothing sends to it any more
	defer l.holding.Wait()
	defer stop()
	defer l.bus.lacks(durableName(l.bus.module, l.topic), nil)
	for ctx.Err() == nil && !l.bus.conn.IsClosed() {
		if err := l.receive(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "subscription interrupted", "error", err, "again_in", pause.String())
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// receive delivers messages until ctx ends or the durable seems to be gone.
func (l *listener) receive(ctx context.Context) error {
	durable, err := l.durable(ctx)
	if err != nil {
		return err
	}
	settings := durable.CachedInfo().Config
	messages, err := durable.Messages(jetstream.PullMaxMessages(settings.MaxAckPending),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	defer context.AfterFunc(ctx, func() {
		if l.bus.conn.IsConnected() {
			messages.Drain() // Next still returns what has arrived, to be nacked
		} else {
			messages.Stop() // draining would wait for the broker
		}
	})()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			messages.Stop() // what is discarded is redelivered after AckWait
			return fmt.Errorf("pull: %w", err)
		}
		decoded, err := decode(m, l.topic)
		if err != nil {
			l.log.ErrorContext(ctx, "dropped a message with invalid headers", "subject", m.Subject(), "error", err)
			_ = m.TermWithReason(err.Error())
			continue
		}
		l.holding.Go(func() { l.hold(ctx, m, decoded, settings.AckWait) })
	}
}

// durable returns the module's durable, which Provision has made. A broker that does not know it is
// new, or has lost everything; once it is provisioned, the listener goes on.
func (l *listener) durable(ctx context.Context) (jetstream.Consumer, error) {
	if err := l.bus.Check(ctx); err != nil {
		return nil, err
	}
	name := durableName(l.bus.module, l.topic)
	durable, err := l.bus.js.Consumer(ctx, l.bus.cfg.Stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("the broker has no durable %s: run seam events provision", name)
		if l.known {
			err = process.Note(fmt.Sprintf("the broker has lost the durable %s: run seam events provision, and replay the outboxes", name))
		}
		l.bus.lacks(name, err)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("find durable %s: %w", name, err)
	}
	l.bus.lacks(name, nil)
	l.known = true
	return durable, nil
}

// lacks records why a durable is missing, or that it is not.
func (b *Bus) lacks(durable string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.missing, durable)
	} else {
		b.missing[durable] = err
	}
}

// hold delivers a message, extends its AckWait meanwhile, and sends the broker its Ack or Nack.
//
//	pulled ──▶ offered ──▶ in a batch ──▶ Ack, its effect is committed
//	 └── InProgress, three times  │  └──▶ Nack, the database is down ──▶ again after NakDelay
//	     in each AckWait          ├────── the subscription ends: Nak ──▶ again at once
//	                              └────── the process dies ────────────▶ again after AckWait
func (l *listener) hold(ctx context.Context, m jetstream.Msg, decoded *message.Message, ackWait time.Duration) {
	id := decoded.UUID // which the consumer overwrites
	messageCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	decoded.SetContext(messageCtx)
	connection := l.bus.conn.Stats().Reconnects
	ack := func() error {
		// An acknowledgement names the message by its number. After a reconnect the broker may be
		// one restored from a copy, and lose another message of that number: a Nak is harmless.
		if l.bus.conn.Stats().Reconnects != connection {
			return m.Nak()
		}
		return m.Ack()
	}
	working := time.NewTicker(ackWait / 3)
	defer working.Stop()
	out := l.out // nil once the message is delivered
	for {
		var err error
		done := true
		select {
		case out <- decoded:
			out, done = nil, false
		case <-working.C:
			err, done = m.InProgress(), false
		case <-decoded.Acked():
			err = ack()
		case <-decoded.Nacked():
			err = m.NakWithDelay(l.bus.cfg.NakDelay)
		case <-ctx.Done():
			select {
			case <-decoded.Acked(): // both were ready, and Ack counts
				err = ack()
			default:
				err = m.Nak()
			}
		}
		if err != nil { // redelivered after AckWait, and the inbox knows it
			l.log.DebugContext(ctx, "message not acknowledged", "event_id", id, "error", err)
		}
		if done {
			return
		}
	}
}
