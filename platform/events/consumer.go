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

// transientTries bounds how often in a row a transiently failing event is tried.
const transientTries = 5

// Consumer handles the events that a module subscribes to, in batches: one transaction for up to
// ConsumerBatch events. When a batch fails, its events are handled one by one; one that still fails
// goes to the module's failed table, so that it does not hold up the others.
type Consumer struct {
	conn     *ownConn
	db       *postgres.DB
	bus      message.Subscriber
	handlers map[string]Handler
	cfg      Config
	log      *slog.Logger
	retries  *worker.Worker
	parked   *worker.Worker
	pruner   *worker.Worker
	tracer   trace.Tracer

	incoming    chan *message.Message
	subscribed  context.Context //nolint:containedctx // it ends when Run gives back what it has
	unsubscribe context.CancelFunc
	forwarding  sync.WaitGroup
}

// NewConsumer returns the consumer of db's module. It panics if two handlers have the same topic.
func NewConsumer(db *postgres.DB, bus message.Subscriber, handlers []Handler, cfg Config, log *slog.Logger) *Consumer {
	c := &Consumer{
		conn: newOwnConn(db), db: db, bus: bus, handlers: map[string]Handler{}, cfg: cfg, log: log,
		tracer:   otel.Tracer("example.com/shop/platform/events"),
		incoming: make(chan *message.Message, cfg.ConsumerBatch),
	}
	for _, h := range handlers {
		if _, taken := c.handlers[h.topic]; taken {
			// A bug in the code: one of the two would never run.
			panic("events: two handlers for " + h.topic)
		}
		c.handlers[h.topic] = h
		db.Side.Knows(h.topic)
	}
	c.retries = worker.New("retry events", cfg.Poll, c.retryOne, log)
	c.parked = worker.New("take parked events", cfg.Poll, c.takeParked, log)
	c.pruner = worker.New("prune inbox and dead letters", pruneEvery, c.prune, log).Throttled()
	return c
}

// Subscribe subscribes to the handlers' topics. The memory bus does not deliver what was published
// before it, so call it before the first relay runs. Run handles what arrives. While the side is
// idle it subscribes to nothing: what arrived would be parked for another side.
func (c *Consumer) Subscribe(ctx context.Context) error {
	if c.idle() || c.unsubscribe != nil {
		return nil
	}
	// The subscriptions outlive ctx, because the relay still finishes its batch.
	subscribed, unsubscribe := context.WithCancel(context.WithoutCancel(ctx))
	c.subscribed, c.unsubscribe = subscribed, unsubscribe
	for topic := range c.handlers {
		messages, err := c.bus.Subscribe(c.subscribed, topic)
		if err != nil {
			c.giveBack()
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
		c.forwarding.Go(func() { c.forward(topic, messages) })
	}
	return nil
}

// forward merges the topics into one queue, from which batches are taken. It gives each id its
// canonical spelling, because the inbox compares ids by value. And it drops from the metadata what
// PostgreSQL cannot store, because failed rows and the events that a handler publishes keep it.
func (c *Consumer) forward(topic string, messages <-chan *message.Message) {
	for m := range messages {
		id, err := uuid.Parse(m.UUID)
		if err != nil {
			c.log.Error("dropped a message with an invalid event id", "topic", topic, "event_id", m.UUID, "error", err)
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
		case <-c.subscribed.Done():
			m.Nack()
		}
	}
}

// Run handles and retries events until ctx ends; a transaction under way is finished.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.conn.close(ctx)
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range []*worker.Worker{c.retries, c.parked, c.pruner} {
		g.Go(func() error { return w.Run(ctx) })
	}
	g.Go(func() error { return c.receive(ctx) })
	return g.Wait()
}

// idle reports whether to leave the events on the bus, which must be durable.
func (c *Consumer) idle() bool {
	bus, ok := c.bus.(interface{ Durable() bool })
	return c.db.Side.Idle() && (!ok || bus.Durable())
}

// idleEvery is how often the consumer looks whether its side has become idle.
const idleEvery = 250 * time.Millisecond

func (c *Consumer) receive(ctx context.Context) error {
	idle := time.NewTicker(idleEvery)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			c.giveBack()
			return nil
		case <-idle.C:
			if c.idle() {
				c.giveBack()
			} else if err := c.Subscribe(ctx); err != nil {
				c.log.WarnContext(ctx, "not subscribed, trying again", "error", err)
			}
		case first := <-c.incoming:
			if err := c.consume(ctx, c.collect(ctx, first)); errors.Is(err, errUnreachable) {
				c.sitOut(ctx, err)
			}
		}
	}
}

// sitOut nacks what arrives until the database can be reached: another process may reach it.
func (c *Consumer) sitOut(ctx context.Context, cause error) {
	c.log.WarnContext(ctx, "events are nacked until the database can be reached", "error", cause)
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

// giveBack ends the subscriptions and nacks what has arrived and was not handled.
func (c *Consumer) giveBack() {
	if c.unsubscribe != nil {
		c.unsubscribe()
		c.unsubscribe = nil
	}
	c.forwarding.Wait() // nothing can arrive any more
	for len(c.incoming) > 0 {
		(<-c.incoming).Nack()
	}
}

// collect returns a batch of what has already arrived. If all of it may linger, it waits for more.
func (c *Consumer) collect(ctx context.Context, first *message.Message) []*message.Message {
	batch, lingers := []*message.Message{first}, c.lingers(first)
	enough := time.After(c.cfg.Linger)
	for len(batch) < c.cfg.ConsumerBatch && (lingers || len(c.incoming) > 0) {
		select {
		case next := <-c.incoming:
			batch, lingers = append(batch, next), lingers && c.lingers(next)
		case <-enough:
			lingers = false
		case <-ctx.Done():
			lingers = false
		}
	}
	return batch
}

func (c *Consumer) lingers(m *message.Message) bool {
	return c.handlers[m.Metadata[headerTopic]].lingers
}

// consume handles the batch in one transaction or, when that fails, each event in one of its own,
// with its own time limit: so a batch that took too long is split into events that do not. It nacks
// what is left when ctx ends, when the database cannot be reached, or when the module's lock cannot
// be had: each further event would wait in vain, and no other process could handle it meanwhile.
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

// settle acknowledges an event once its effect or its failure is committed, and otherwise nacks it
// and returns why: without a database not even a failure can be recorded, and the bus redelivers.
// An event that keeps losing its transaction to the database is recorded too, with no attempt.
func (c *Consumer) settle(ctx context.Context, m *message.Message, err error) error {
	for try := 1; transient(err) && !holdsUpAll(err) && ctx.Err() == nil && try < transientTries; try++ {
		err = c.apply(ctx, m)
	}
	switch {
	case err == nil || holdsUpAll(err):
	case !transient(err):
		err = c.recordFailure(ctx, m, 1, err)
	case ctx.Err() == nil: // it would hold up its topic; the retries do not count it
		err = c.recordFailure(ctx, m, 0, err)
	}
	if err != nil {
		c.log.WarnContext(ctx, "event nacked", "event_id", m.UUID, "topic", m.Metadata[headerTopic], "error", err)
		m.Nack()
		return err
	}
	failpoint.Here("committed, not acknowledged")
	m.Ack()
	return nil
}
