package events

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

// applyFresh handles those of the events that are neither handled nor failed, and this side's.
func (c *Consumer) applyFresh(ctx context.Context, read func(ctx context.Context, tx pgx.Tx) ([]*message.Message, error)) error {
	var fresh []*message.Message
	err := c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		batch, err := read(ctx, tx)
		if err == nil {
			fresh, err = c.freshTx(ctx, tx, batch)
		}
		if err != nil || len(fresh) == 0 {
			return err
		}
		return c.applyTx(ctx, tx, fresh)
	})
	if err == nil {
		c.db.Side.Handled(len(fresh))
	}
	return err
}

// notFresh reports whether PostgreSQL refused an inbox row.
func notFresh(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.TableName == "inbox"
}

// freshTx returns the events that are neither handled nor failed, without duplicates in the batch.
// It parks those of another side.
func (c *Consumer) freshTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) ([]*message.Message, error) {
	byID := map[string]*message.Message{}
	var ids, topics, keys []string
	var payloads [][]byte
	var headers []message.Metadata
	for _, m := range batch {
		if byID[m.UUID] == nil {
			byID[m.UUID] = m
			ids = append(ids, m.UUID)
			topics, keys = append(topics, m.Metadata[headerTopic]), append(keys, m.Metadata[headerKey])
			payloads, headers = append(payloads, m.Payload), append(headers, m.Metadata)
		}
	}
	postgres.QueueSQL(tx, share.TakeTurn)
	rows, err := tx.Query(ctx, `-- name: ReadInbox
		WITH share AS (SELECT topic, share_of($6, topic) AS buckets FROM unnest($7::text[]) AS topic),
		fresh AS (
			SELECT e.*, bucket_of(e.key) <@ (SELECT buckets FROM share WHERE topic = e.topic) AS ours
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[]) AS e (id, topic, key, payload, headers)
			WHERE (SELECT event_id FROM inbox WHERE event_id = e.id) IS NULL
			AND (SELECT event_id FROM failed WHERE event_id = e.id) IS NULL),
		others AS (
			INSERT INTO parked (event_id, topic, key, payload, headers)
			SELECT id, topic, key, payload, headers FROM fresh WHERE NOT ours ON CONFLICT DO NOTHING)
		SELECT id::text FROM fresh WHERE ours`,
		ids, topics, keys, payloads, headers, c.db.Side.Name(), slices.Compact(slices.Sorted(slices.Values(topics))))
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	ours, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	fresh := slices.DeleteFunc(slices.Clone(batch), func(m *message.Message) bool {
		return byID[m.UUID] != m || !slices.Contains(ours, m.UUID)
	})
	return fresh, nil
}
