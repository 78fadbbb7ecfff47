package events

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/worker"
)

// parkedEvery is how often parked events are looked for during a canary: the delay of an event that
// arrives at the other side.
const parkedEvery = 50 * time.Millisecond

// takeParked has the events handled that another side has received and parked, and that are this
// side's. They take the way of those that arrive. Then it deletes the ones that are handled or
// failed: one that was parked again meanwhile, because the shares have changed, stays.
func (c *Consumer) takeParked(ctx context.Context) (more bool, err error) {
	if c.db.Side.Shared() && !c.db.Side.Idle() {
		defer func() { time.AfterFunc(parkedEvery, c.parked.Wake) }()
	}
	ctx, cancel := worker.UntilStop(ctx) // what is left undone is still parked
	defer cancel()
	rows, err := c.db.Query(ctx, `-- name: ReadParked
		WITH share AS (SELECT topic, share_of($1, topic) AS buckets FROM unnest($2::text[]) AS topic)
		SELECT event_id::text AS id, payload, headers FROM parked
		WHERE bucket_of(key) <@ coalesce((SELECT buckets FROM share WHERE topic = parked.topic), share_of($1, topic))
		ORDER BY event_id LIMIT $3`, c.db.Side.Name(), slices.Collect(maps.Keys(c.handlers)), c.cfg.ConsumerBatch)
	var parked []*message.Message
	if err == nil {
		parked, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*message.Message, error) {
			var id string
			var payload []byte
			var headers message.Metadata
			err := row.Scan(&id, &payload, &headers)
			m := message.NewMessage(id, payload)
			m.Metadata = headers
			return m, err
		})
	}
	if err != nil || len(parked) == 0 {
		return false, err
	}
	notHandled := c.deliver(ctx, parked)
	ids := make([]string, len(parked))
	for i, m := range parked {
		ids[i] = m.UUID
	}
	_, err = c.db.Exec(ctx, `-- name: DeleteParked
		DELETE FROM parked WHERE event_id = ANY ($1::uuid[]) AND (
			(SELECT event_id FROM inbox WHERE event_id = parked.event_id) IS NOT NULL
			OR (SELECT event_id FROM failed WHERE event_id = parked.event_id) IS NOT NULL)`, ids)
	if err != nil {
		return false, fmt.Errorf("delete parked events: %w", err)
	}
	return len(parked) == c.cfg.ConsumerBatch, notHandled
}

// deliver passes messages to receive, and returns when all are acknowledged, or with an error.
func (c *Consumer) deliver(ctx context.Context, parked []*message.Message) error {
	for _, m := range parked {
		select {
		case c.incoming <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, m := range parked {
		select {
		case <-m.Acked():
		case <-m.Nacked():
			return fmt.Errorf("parked event %s was not handled", m.UUID)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
