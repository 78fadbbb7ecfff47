package events

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/backoff"
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/worker"
)

// Outbox publishes the events that its module's transactions have written. Any number of processes
// may run one for the same schema.
//
//	commit ──▶ in memory, by topic ──▶ bus ──▶ deleted from outbox_pending, many at a time
//	              ▲
//	poll ─────────┘ what is in no memory: after a crash or a replay, or more than fits
//
// What a transaction published is in memory when it commits, so nothing is read back. The poll
// finds the rest. If a process dies before it deletes the row, the event is published again.
type Outbox struct {
	carrier postgres.Carrier[*message.Message]
	db      *postgres.DB
	conn    *ownConn
	bus     message.Publisher
	cfg     Config
	log     *slog.Logger
	poller  *worker.Worker
	marker  *worker.Worker
	pruner  *worker.Worker
	allowed map[string]bool // topics; all of the module's own, if nil

	mu         sync.Mutex
	running    bool
	queues     map[string]*queue   // by topic
	inHand     map[string]struct{} // ids that are queued, being published, or not deleted yet
	published  []*message.Message  // and not deleted yet
	publishing sync.WaitGroup
}

// NewOutbox returns the outbox of the database's module. It publishes nothing before Run.
func NewOutbox(db *postgres.DB, bus message.Publisher, cfg Config, log *slog.Logger) *Outbox {
	o := &Outbox{db: db, conn: newOwnConn(db), bus: bus, cfg: cfg, log: log}
	o.queues, o.inHand = map[string]*queue{}, map[string]struct{}{}
	o.carrier = postgres.Carrier[*message.Message]{Insert: insert, Ended: o.ended}
	o.poller = worker.New("relay", cfg.Poll, o.poll, log)
	o.marker = worker.New("mark published", time.Hour, o.mark, log)
	o.pruner = worker.New("prune outbox", pruneEvery, o.prune, log).Throttled()
	return o
}

// Allow has PublishTx refuse all but these events, of which only the topics count. Call it before
// anything is published.
func (o *Outbox) Allow(published []Event) {
	o.allowed = map[string]bool{}
	for _, ev := range published {
		o.allowed[ev.Topic()] = true
	}
}

// Run publishes and prunes until ctx ends, then finishes and marks what is under way. Call it once.
func (o *Outbox) Run(ctx context.Context) error {
	o.mu.Lock()
	o.running = true
	o.mu.Unlock()
	g, running := errgroup.WithContext(ctx)
	for _, w := range []*worker.Worker{o.poller, o.marker, o.pruner} {
		g.Go(func() error { return w.Run(running) })
	}
	err := g.Wait()
	o.mu.Lock()
	o.running = false
	for _, q := range o.queues {
		o.drop(q.waiting...)
		q.waiting = nil
	}
	o.mu.Unlock()
	o.publishing.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastMark)
	defer cancel()
	if _, err := o.mark(ctx); err != nil {
		o.log.WarnContext(ctx, "published events are not marked, and will be published again", "error", err)
	}
	o.conn.close(ctx)
	return err
}

// ended queues a transaction's events once it is committed.
func (o *Outbox) ended(published []*message.Message, committed bool) {
	if !committed {
		return
	}
	failpoint.Here("committed, not published")
	for _, m := range published {
		m.Metadata[MetadataReplays] = "0"
	}
	o.enqueue(published)
}

func (o *Outbox) enqueue(messages []*message.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		topic := m.Metadata[headerTopic]
		q := o.queues[topic]
		if q == nil {
			q = &queue{}
			o.queues[topic] = q
		}
		if _, known := o.inHand[m.UUID]; known || !o.running || o.room(q) <= 0 {
			continue
		}
		o.inHand[m.UUID] = struct{}{}
		q.waiting = append(q.waiting, m)
	}
	for topic, q := range o.queues {
		if len(q.waiting) > 0 && q.publishers < publishers {
			q.publishers++
			o.publishing.Go(func() { o.publish(topic, q) })
		}
	}
}

// publish publishes the topic's queue, batch by batch, until it is empty.
func (o *Outbox) publish(topic string, q *queue) {
	for {
		o.mu.Lock()
		batch := q.waiting[:min(len(q.waiting), o.cfg.RelayBatch)]
		q.waiting = q.waiting[len(batch):]
		if len(batch) == 0 {
			q.publishers--
			o.mu.Unlock()
			return
		}
		if q.short && len(q.waiting) < queued*o.cfg.RelayBatch/2 {
			q.short = false
			o.poller.Wake()
		}
		o.mu.Unlock()
		err := o.send(topic, batch)
		o.mu.Lock()
		if err != nil {
			o.refused(topic, q, batch, err)
		} else {
			failpoint.Here("published, not marked")
			q.refused = 0
			if len(o.published) == 0 {
				time.AfterFunc(markAfter, o.marker.Wake)
			}
			o.published = append(o.published, batch...)
		}
		o.mu.Unlock()
	}
}

func (o *Outbox) send(topic string, batch []*message.Message) (err error) {
	defer process.Recover(&err)
	return o.bus.Publish(topic, batch...)
}

// After the bus has refused a topic, its events are left to the poll, for a pause in this range.
const (
	minRefusal = 50 * time.Millisecond
	maxRefusal = 2 * time.Second // and up to half as long again: the delay once the bus is back
)

// refused leaves the topic's events to the poll, and wakes it after the pause. The caller holds mu.
func (o *Outbox) refused(topic string, q *queue, batch []*message.Message, cause error) {
	o.drop(batch...)
	if time.Now().Before(q.until) { // another batch was refused meanwhile
		return
	}
	q.refused++
	wait := backoff.After(q.refused, minRefusal, maxRefusal)
	q.until = time.Now().Add(wait)
	time.AfterFunc(wait, o.poller.Wake)
	o.drop(q.waiting...)
	q.waiting = nil
	o.log.Error("the bus refused a topic", "topic", topic, "error", cause, "again_in", wait.String())
}

// drop forgets events, so that the poll finds them again. The caller holds mu.
func (o *Outbox) drop(messages ...*message.Message) {
	for _, m := range messages {
		delete(o.inHand, m.UUID)
	}
}

// MetadataReplays is the metadata that counts an event's replays. A broker that drops duplicates by
// message id must not drop these.
const MetadataReplays = "replays"

// markAfter is how long published events wait for others, to be marked together. After a crash
// those that are not marked are published again.
const markAfter = 100 * time.Millisecond

// lastMark bounds how long a relay that stops waits for a connection to mark what it has published.
const lastMark = 2 * time.Second

// mark deletes the outbox_pending rows of published events, but not of those replayed meanwhile.
// The commit need not be on disk: a row that comes back is published again. A locked row is being
// replayed, or marked by another process, and waiting for it could deadlock: it is left to them.
func (o *Outbox) mark(ctx context.Context) (more bool, err error) {
	o.mu.Lock()
	published := o.published
	o.mu.Unlock()
	if len(published) == 0 {
		return false, nil
	}
	byReplays := map[string][]string{}
	for _, m := range published {
		replays := m.Metadata[MetadataReplays]
		byReplays[replays] = append(byReplays[replays], m.UUID)
	}
	err = o.conn.inTx(ctx, func(_ context.Context, tx pgx.Tx) error {
		postgres.QueueSQL(tx, "SET LOCAL synchronous_commit = off")
		for replays, ids := range byReplays {
			postgres.QueueSQL(tx, `-- name: MarkPublished
				DELETE FROM outbox_pending WHERE event_id = ANY (ARRAY (
					SELECT event_id FROM outbox_pending WHERE event_id = ANY ($1::uuid[]) AND replays::text = $2
					FOR UPDATE SKIP LOCKED))`, ids, replays)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("mark published: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(published...)
	o.published = slices.Clone(o.published[len(published):])
	if len(o.published) > 0 {
		time.AfterFunc(markAfter, o.marker.Wake)
	}
	return false, nil
}

// poll queues pending events that this process does not have in memory, the oldest first. It skips
// those younger than a second, which the process that committed them most likely has in memory.
func (o *Outbox) poll(ctx context.Context) (more bool, err error) {
	o.mu.Lock()
	inHand := slices.AppendSeq([]string{}, maps.Keys(o.inHand)) // not nil, which would be NULL
	full := []string{}
	for topic, q := range o.queues {
		if o.room(q) < o.cfg.RelayBatch {
			full = append(full, topic)
			q.short = true
		}
	}
	o.mu.Unlock()
	var found []*message.Message
	err = o.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `-- name: Poll
			WITH due AS (
				SELECT event_id, replays FROM outbox_pending
				WHERE created_at < now() - interval '1 second' AND topic <> ALL ($1)
					AND event_id NOT IN (SELECT unnest($2::uuid[])) -- hashed, unlike <> ALL
				ORDER BY event_id LIMIT $3),
			gone AS ( -- deleted by hand: a batch of such rows would block the poll
				DELETE FROM outbox_pending WHERE event_id = ANY (ARRAY (
					SELECT event_id FROM due WHERE (SELECT id FROM outbox WHERE id = due.event_id) IS NULL)))
			SELECT o.id, o.topic, o.key, o.payload, o.headers, due.replays
			FROM due JOIN outbox AS o ON o.id = due.event_id WHERE o.id = ANY (ARRAY (SELECT event_id FROM due))`,
			full, inHand, o.cfg.RelayBatch)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, o.scanMessage)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read outbox: %w", err)
	}
	o.enqueue(found)
	return len(found) == o.cfg.RelayBatch, nil
}
