package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// transientTries is how often an event is tried at once when PostgreSQL ends its transaction for others' sake.
const transientTries = 5

// Consumer applies the events that a module subscribes to, in batches: one transaction for up to
// ConsumerBatch events. A batch that fails is taken apart and its events are tried one by one; one
// that still fails goes to the module's failed table, so that it holds up nobody.
type Consumer struct {
	conn     *ownConn
	db       *postgres.DB
	bus      message.Subscriber
	handlers map[string]Handler
	cfg      Config
	log      *slog.Logger
	retries  *worker.Worker
	pruner   *worker.Worker
	tracer   trace.Tracer

	incoming    chan *message.Message
	unsubscribe []context.CancelFunc
	stopping    chan struct{}
	forwarding  sync.WaitGroup
}

// NewConsumer returns the consumer of the database's module. Two handlers for one topic make it
// panic.
func NewConsumer(db *postgres.DB, bus message.Subscriber, handlers []Handler, cfg Config, log *slog.Logger) *Consumer {
	c := &Consumer{
		conn: newOwnConn(db), db: db, bus: bus, handlers: map[string]Handler{}, cfg: cfg, log: log,
		tracer:   otel.Tracer("example.com/shop/platform/events"),
		incoming: make(chan *message.Message, cfg.ConsumerBatch),
		stopping: make(chan struct{}),
	}
	for _, h := range handlers {
		if _, taken := c.handlers[h.topic]; taken {
			// A mistake in the code, and one of the two would silently never run. An event has one effect on a module: one handler.
			panic("events: two handlers for " + h.topic)
		}
		c.handlers[h.topic] = h
	}
	c.retries = worker.New("retry events", cfg.Poll, c.retryOne, log)
	c.pruner = worker.New("prune inbox and dead letters", pruneEvery, c.prune, log).Gently()
	return c
}

// Subscribe takes the module's place on the bus. Events published before it may pass the module by, so it comes before the first
// relay runs; Run does the rest.
func (c *Consumer) Subscribe(ctx context.Context) error {
	for topic := range c.handlers {
		// The subscription outlives the signal to stop: the relay still finishes its batch.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c.unsubscribe = append(c.unsubscribe, cancel)
		messages, err := c.bus.Subscribe(ctx, topic)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
		c.forwarding.Go(func() { c.forward(topic, messages) })
	}
	return nil
}

// forward merges the topics into one queue, from which batches are taken. The inbox knows an event
// by the value of its id, so another spelling of it, such as upper case, becomes the usual one
// here. And the metadata become what PostgreSQL can store: a failure keeps them, and an event that
// a handler publishes keeps the cause.
func (c *Consumer) forward(topic string, messages <-chan *message.Message) {
	for m := range messages {
		id, err := uuid.Parse(m.UUID)
		if err != nil {
			c.log.Error("dropped a message that is no event", "topic", topic, "event_id", m.UUID, "error", err)
			m.Ack()
			continue
		}
		m.UUID = id.String()
		metadata := message.Metadata{}
		for name, value := range m.Metadata {
			metadata[postgres.Storable(name)] = postgres.Storable(value)
		}
		metadata[headerTopic] = topic
		m.Metadata = metadata
		select {
		case c.incoming <- m:
		case <-c.stopping:
			m.Nack()
		}
	}
}

// Run applies what arrives and retries what failed until ctx ends; a transaction under way is finished.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.conn.close(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.retries.Run(ctx) })
	g.Go(func() error { return c.pruner.Run(ctx) })
	g.Go(func() error { return c.receive(ctx) })
	return g.Wait()
}

func (c *Consumer) receive(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			c.giveBack()
			return nil
		case first := <-c.incoming:
			if err := c.consume(ctx, c.collect(ctx, first)); errors.Is(err, errUnreachable) {
				c.sitOut(ctx, err)
			}
		}
	}
}

// sitOut gives back what arrives, at once, until the database can be reached: another process of
// the module may reach it.
func (c *Consumer) sitOut(ctx context.Context, cause error) {
	c.log.WarnContext(ctx, "events are given back to the bus until the database can be reached", "error", cause)
	reached := make(chan struct{})
	go func() {
		defer close(reached)
		c.conn.reach(ctx)
	}()
	for {
		select {
		case m := <-c.incoming:
			m.Nack()
		case <-reached:
			return
		}
	}
}

// giveBack ends the subscriptions and refuses what has arrived and was not applied.
func (c *Consumer) giveBack() {
	close(c.stopping)
	for _, cancel := range c.unsubscribe {
		cancel()
	}
	c.forwarding.Wait() // nothing can arrive any more
	for len(c.incoming) > 0 {
		(<-c.incoming).Nack()
	}
}

// collect takes what has already arrived. If all of it may linger, it waits for more.
func (c *Consumer) collect(ctx context.Context, first *message.Message) []*message.Message {
	batch, lingers := []*message.Message{first}, c.lingers(first)
	enough := time.After(c.cfg.Linger)
	for len(batch) < c.cfg.ConsumerBatch {
		var next *message.Message
		select {
		case next = <-c.incoming:
		default:
			if !lingers {
				return batch
			}
			select {
			case next = <-c.incoming:
			case <-enough:
				return batch
			case <-ctx.Done():
				return batch
			}
		}
		batch, lingers = append(batch, next), lingers && c.lingers(next)
	}
	return batch
}

func (c *Consumer) lingers(m *message.Message) bool {
	return c.handlers[m.Metadata[headerTopic]].lingers
}

// consume applies the batch in one transaction or, when that fails, each event in one of its own:
// with time of its own, so that a batch that took too long falls apart into events that do not.
// What is left when ctx ends is given back, and so is what is left when the database or the
// module's turn cannot be had: each further event would wait in vain, and no other process could
// have it meanwhile.
func (c *Consumer) consume(ctx context.Context, batch []*message.Message) error {
	err := c.apply(ctx, batch...)
	alone := err != nil && len(batch) > 1
	if alone {
		c.log.DebugContext(ctx, "batch failed, trying one by one", "events", len(batch), "error", err)
	}
	for _, m := range batch {
		switch {
		case holdsUpAll(err) || alone && ctx.Err() != nil:
			m.Nack()
		case alone:
			err = c.settle(ctx, m, c.apply(ctx, m))
		default:
			err = c.settle(ctx, m, err)
		}
	}
	return err
}

// settle acknowledges an event once its effect or its failure is committed, and gives it back to
// the bus otherwise: a database that is away cannot even keep the failure, and the bus is the one
// that can wait. It returns why it gave the event back.
func (c *Consumer) settle(ctx context.Context, m *message.Message, err error) error {
	for try := 1; transient(err) && !holdsUpAll(err) && ctx.Err() == nil && try < transientTries; try++ {
		err = c.apply(ctx, m)
	}
	if err != nil && !transient(err) {
		err = c.recordFailure(ctx, m, err)
	}
	if err != nil {
		c.log.WarnContext(ctx, "event given back to the bus", "event_id", m.UUID, "topic", m.Metadata[headerTopic], "error", err)
		m.Nack()
		return err
	}
	failpoint.Here("committed, not acknowledged")
	m.Ack()
	return nil
}
