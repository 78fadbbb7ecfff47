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
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/worker"
)

// metadataTopic is where a message carries its topic from a subscription to the batch.
const metadataTopic = "type"

// batchLimit bounds one batch, so that a consumer that is told to stop does stop.
const batchLimit = 30 * time.Second

// transientTries is how often an event is tried at once when PostgreSQL ends its transaction for others' sake.
const transientTries = 5

// Consumer applies what a module hears, in batches: one transaction for up to ConsumerBatch events. A batch that fails is taken
// apart and its events are tried one by one; one that still fails goes to the module's failed table, so that it holds up nobody.
type Consumer struct {
	conn     *ownConn
	pool     *pgxpool.Pool
	bus      message.Subscriber
	handlers map[string]Handler
	cfg      Config
	log      *slog.Logger
	wake     func()
	retries  *worker.Worker
	pruner   *worker.Worker
	tracer   trace.Tracer

	incoming    chan *message.Message
	unsubscribe []context.CancelFunc
	stopping    chan struct{}
	forwarding  sync.WaitGroup
}

// NewConsumer returns the consumer of the module whose runtime role the pool uses. Wake is called after each commit, for the
// relay and the workers that the effects may have given work.
func NewConsumer(pool *pgxpool.Pool, bus message.Subscriber, handlers []Handler, cfg Config, log *slog.Logger, wake func()) *Consumer {
	c := &Consumer{
		conn: newOwnConn(pool), pool: pool, bus: bus, handlers: map[string]Handler{}, cfg: cfg, log: log, wake: wake,
		tracer:   otel.Tracer("example.com/shop/platform/events"),
		incoming: make(chan *message.Message, cfg.ConsumerBatch),
		stopping: make(chan struct{}),
	}
	for _, h := range handlers {
		c.handlers[h.topic] = h
	}
	c.retries = worker.New("retry events", cfg.Poll, c.retryOne, log)
	c.pruner = worker.New("prune inbox", pruneEvery, c.prune, log)
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

// forward merges the topics into one queue, from which batches are taken.
func (c *Consumer) forward(topic string, messages <-chan *message.Message) {
	for m := range messages {
		m.Metadata.Set(metadataTopic, topic)
		select {
		case c.incoming <- m:
		case <-c.stopping:
			m.Nack()
		}
	}
}

// Run applies what arrives and retries what failed until ctx ends; a batch under way is finished.
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
			c.consume(ctx, c.collect(first))
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

// collect takes what has already arrived, and waits for nothing more.
func (c *Consumer) collect(first *message.Message) []*message.Message {
	batch := []*message.Message{first}
	for len(batch) < c.cfg.ConsumerBatch {
		select {
		case m := <-c.incoming:
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

func (c *Consumer) consume(ctx context.Context, batch []*message.Message) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchLimit)
	defer cancel()
	err := c.apply(ctx, batch)
	if err != nil && len(batch) > 1 {
		c.log.DebugContext(ctx, "batch failed, trying one by one", "events", len(batch), "error", err)
		for _, m := range batch {
			c.settle(ctx, m, c.apply(ctx, []*message.Message{m}))
		}
	} else {
		for _, m := range batch {
			c.settle(ctx, m, err)
		}
	}
	c.wake()
}

// settle acknowledges an event once its effect or its failure is committed, and gives it back to the bus otherwise.
func (c *Consumer) settle(ctx context.Context, m *message.Message, err error) {
	for try := 1; transient(err) && try < transientTries; try++ {
		err = c.apply(ctx, []*message.Message{m})
	}
	if err != nil && !transient(err) {
		err = c.recordFailure(ctx, m, err)
	}
	if err != nil {
		c.log.WarnContext(ctx, "event given back to the bus", "event_id", m.UUID, "topic", m.Metadata.Get(metadataTopic), "error", err)
		m.Nack()
		return
	}
	m.Ack()
}

// apply handles the events that the inbox does not know yet, and commits effects and inbox rows together.
//
// The advisory lock lets one batch of the module run at a time, over all its processes: without it two consumers deadlock
// on each other's rows and inbox keys.
func (c *Consumer) apply(ctx context.Context, batch []*message.Message) error {
	return c.conn.inTx(ctx, func(tx pgx.Tx) error {
		fresh, err := claimTx(ctx, tx, batch)
		if err != nil {
			return err
		}
		for _, m := range batch {
			if !fresh[m.UUID] {
				continue
			}
			delete(fresh, m.UUID) // the bus may have delivered it twice in one batch
			if err := c.handle(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// claimTx takes the module's turn and writes the inbox rows, in one round trip. It returns the ids that are new to the module;
// those in the failed table are not: they belong to the retries.
func claimTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) (map[string]bool, error) {
	ids := make([]string, len(batch))
	topics := make([]string, len(batch))
	for i, m := range batch {
		ids[i], topics[i] = m.UUID, m.Metadata.Get(metadataTopic)
	}
	queries := &pgx.Batch{}
	queries.Queue("SELECT pg_advisory_xact_lock(hashtextextended('seam.consumer.' || current_schema(), 0))")
	queries.Queue(`
		INSERT INTO inbox (event_id, topic)
		SELECT e.id, e.topic FROM unnest($1::uuid[], $2::text[]) AS e (id, topic)
		WHERE NOT EXISTS (SELECT FROM failed f WHERE f.event_id = e.id)
		ORDER BY e.id
		ON CONFLICT DO NOTHING
		RETURNING event_id`, ids, topics)
	results := tx.SendBatch(ctx, queries)
	if _, err := results.Exec(); err != nil {
		return nil, errors.Join(fmt.Errorf("take the module's turn: %w", err), results.Close())
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write inbox: %w", err), results.Close())
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err := errors.Join(err, results.Close()); err != nil {
		return nil, fmt.Errorf("write inbox: %w", err)
	}
	fresh := make(map[string]bool, len(claimed))
	for _, id := range claimed {
		fresh[id.String()] = true
	}
	return fresh, nil
}

// handle runs the handler under the event's cause.
func (c *Consumer) handle(ctx context.Context, tx pgx.Tx, m *message.Message) error {
	topic := m.Metadata.Get(metadataTopic)
	ctx, span := c.tracer.Start(WithCause(ctx, Cause(m.Metadata)), "handle "+topic, trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	handler, ok := c.handlers[topic]
	if !ok {
		return fmt.Errorf("no handler for %s", topic)
	}
	if err := handler.run(ctx, tx, m.Payload); err != nil {
		span.RecordError(err)
		return fmt.Errorf("handle %s: %w", topic, err)
	}
	return nil
}

// transient says that the database, not the event, is why it failed: trying again is no attempt.
func transient(err error) bool {
	if err == nil {
		return false
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		_, connecting := errors.AsType[*pgconn.ConnectError](err)
		return connecting || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err)
	}
	switch pgErr.Code[:2] {
	case "08", "40", "53", "57": // connection lost, serialization or deadlock, out of resources, shut down
		return pgErr.Code != "57014" // query_canceled: the handler's own statement is too slow
	}
	return pgErr.Code == "55P03" || pgErr.Code == "25P03" // lock_timeout, idle_in_transaction_session_timeout
}
