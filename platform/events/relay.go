package events

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Outbox tells the world what its module's transactions wrote. Any number of processes may run one for the same schema.
type Outbox struct {
	conns  chan *ownConn // those that no relay uses
	pool   *pgxpool.Pool
	bus    message.Publisher
	cfg    Config
	log    *slog.Logger
	relay  *worker.Worker
	pruner *worker.Worker

	mu      sync.Mutex
	refused map[string]refusal // by topic
}

// relays is how many batches of an outbox may be on their way at the same time. The memory bus has a batch until the slowest listener has
// handled all of it, and a broker until it is on the disk: meanwhile a second batch keeps the other listeners at work. More than two gained
// nothing.
const relays = 2

// NewOutbox returns the outbox of the module whose runtime role the pool uses. Nothing is published before Run.
func NewOutbox(pool *pgxpool.Pool, bus message.Publisher, cfg Config, log *slog.Logger) *Outbox {
	o := &Outbox{conns: make(chan *ownConn, relays), pool: pool, bus: bus, cfg: cfg, log: log, refused: map[string]refusal{}}
	for range relays {
		o.conns <- newOwnConn(pool)
	}
	o.relay = worker.New("relay", cfg.Poll, o.publishBatch, log)
	o.pruner = worker.New("prune outbox", pruneEvery, o.prune, log).Gently()
	return o
}

// Wake makes the relay look at once. Call it after the commit of a transaction that called PublishTx.
func (o *Outbox) Wake() { o.relay.Wake() }

// Run publishes and prunes until ctx ends; a batch under way is finished. Call it once.
func (o *Outbox) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range relays {
		g.Go(func() error { return o.relay.Run(ctx) })
	}
	g.Go(func() error { return o.pruner.Run(ctx) })
	err := g.Wait()
	for range relays {
		(<-o.conns).close(ctx)
	}
	return err
}

// MetadataReplays tells a bus how often the event was told again. A broker that drops repetitions by message id must not drop these.
const MetadataReplays = "replays"

// publishBatch publishes unpublished rows and marks them, in one transaction that keeps other relays off these rows. If the process
// dies before the commit the rows are published again: at least once. So nobody waits for the marks to be on the disk either.
func (o *Outbox) publishBatch(ctx context.Context) (more bool, err error) {
	conn := <-o.conns
	defer func() { o.conns <- conn }()
	from := uuid.Nil
	if since := worker.Since(ctx, time.Now()); !since.IsZero() {
		from = firstIDAt(since)
	}
	err = conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		batch, err := unpublishedTx(ctx, tx, from, o.leftOut(), o.cfg.RelayBatch)
		if err != nil {
			return err
		}
		more = len(batch) == o.cfg.RelayBatch
		if more {
			o.Wake() // another relay takes the next batch
		}
		published := o.publish(ctx, batch)
		if len(published) == 0 {
			return nil
		}
		failpoint.Here("published, not marked")
		later := postgres.Later(tx)
		if _, err := later.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return fmt.Errorf("mark published: %w", err)
		}
		// Not now(), which is when the transaction began: a replay of what was published since then would miss these.
		_, err = later.Exec(ctx, "UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY($1)", published)
		if err != nil {
			return fmt.Errorf("mark published: %w", err)
		}
		return nil
	})
	return more, err
}

// unpublishedTx locks the oldest rows of other topics than these that no other relay holds.
func unpublishedTx(ctx context.Context, tx pgx.Tx, from uuid.UUID, leftOut []string, limit int) ([]*message.Message, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, topic, payload, headers, replays FROM outbox
		WHERE published_at IS NULL AND id >= $1 AND topic <> ALL($2)
		ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED`, from, leftOut, limit)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	batch, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*message.Message, error) {
		var id uuid.UUID
		var topic string
		var payload, headers json.RawMessage
		var replays int
		if err := row.Scan(&id, &topic, &payload, &headers, &replays); err != nil {
			return nil, err
		}
		m := message.NewMessage(id.String(), message.Payload(payload))
		// A row may have been written by hand. Headers that cannot be read are left out, for
		// otherwise the row would be an error of every scan, and nothing of the module would be
		// published any more.
		var values map[string]json.RawMessage
		_ = json.Unmarshal(headers, &values)
		for name, value := range values {
			var text *string
			if json.Unmarshal(value, &text) != nil { // no text, so as it is written
				m.Metadata[name] = string(value)
			} else if text != nil {
				m.Metadata[name] = *text
			}
		}
		m.Metadata[metadataTopic] = topic
		m.Metadata[MetadataReplays] = strconv.Itoa(replays)
		return m, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return batch, nil
}

// publish publishes topic by topic and returns the ids of the topics that succeeded. They go side by side, because the memory bus
// waits for its consumers: one after another would add up what they need, and give each of them smaller batches.
func (o *Outbox) publish(ctx context.Context, batch []*message.Message) (published []string) {
	byTopic := map[string][]*message.Message{}
	for _, m := range batch {
		topic := m.Metadata[metadataTopic]
		byTopic[topic] = append(byTopic[topic], m)
	}
	type result struct {
		topic string
		err   error
	}
	results := make(chan result, len(byTopic))
	for topic, messages := range byTopic {
		go func() { results <- result{topic, o.bus.Publish(topic, messages...)} }()
	}
	for range byTopic {
		r := <-results
		if r.err != nil {
			o.refuse(ctx, r.topic, r.err)
			continue
		}
		o.accept(r.topic)
		for _, m := range byTopic[r.topic] {
			published = append(published, m.UUID)
		}
	}
	return published
}

// firstIDAt is the lowest UUIDv7 of that millisecond (RFC 9562, section 5.7): an id says when its row was written.
func firstIDAt(t time.Time) uuid.UUID {
	ms := t.UnixMilli()
	return uuid.UUID{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms), 0x70, 0, 0x80}
}
