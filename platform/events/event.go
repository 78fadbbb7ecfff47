// Package events delivers events from one module to others: a transactional outbox, a relay, a bus,
// and a consumer with an inbox.
//
// It promises that an event whose transaction commits is delivered to every subscribed module, and
// that a handler's effect on its own database happens once per event, whatever crashes in between:
//
//	use case ──┐ one transaction                 one transaction ┌── handler
//	  state    │                                                 │   effect
//	  outbox ──┘──▶ relay ──▶ bus (memory or nats) ──▶ consumer ─┴── inbox
//	            at least once        at least once         once
//
// Should the bus lose what it has taken, an operator has it replayed (seam events replay): rows stay
// in the outbox for a week, and the inbox makes that harmless. Order is not promised; an event
// has its aggregate's version. (Patterns: transactional outbox and idempotent consumer, Richardson,
// Microservices Patterns, chapter 3. Header names: CloudEvents 1.0.)
package events

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// Event is a fact that a module publishes. Contract packages implement it without importing it.
type Event interface {
	// Topic returns the wire name, a literal with a version: parcels.sent.v1.
	Topic() string
	// Aggregate returns what the fact is about, and its version when the fact became true.
	Aggregate() (id string, version int64)
}

// Until returns the event with the time after which no subscriber needs it and nothing may keep it,
// such as one with a secret that is good for a while. It is published like any other, even late.
// Once it is published, that time ends its stay in the outbox, and as a dead letter; and it is not
// replayed after it.
func Until(ev Event, expires time.Time) Event { return perishable{ev, expires} }

// PublishTx publishes the event if and only if tx commits: its rows in outbox and outbox_pending
// are sent with the commit, whenever this is called (postgres.Carry), and once they are committed
// the relay publishes it from memory. It deletes the row in outbox_pending when the bus has the
// event: a broker on its disk, the bus in memory when every subscriber has acknowledged, that is,
// committed. While the row is there, as after a crash, the next poll of any process of the module
// publishes the event, within three seconds, perhaps a second time. The topic must be one of the
// module's own, parcels.something.v1 for parcels, and tx one of its database's transactions.
func (o *Outbox) PublishTx(ctx context.Context, tx pgx.Tx, ev Event) error {
	m, err := o.messageOf(ctx, ev)
	if err == nil {
		err = postgres.Carry(o.db, tx, &o.carrier, m)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", ev.Topic(), err)
	}
	return nil
}

// insert returns the statement that writes the events of one transaction.
func insert(published []*message.Message) (sql string, args []any) {
	n := len(published)
	ids, topics, keys := make([]string, n), make([]string, n), make([]string, n)
	payloads, headers := make([]string, n), make([]message.Metadata, n)
	expires := make([]*string, n)
	for i, m := range published {
		if at, perishable := m.Metadata[MetadataExpires]; perishable {
			expires[i] = &at
		}
		ids[i], topics[i], keys[i] = m.UUID, m.Metadata[headerTopic], m.Metadata[headerKey]
		payloads[i], headers[i] = string(m.Payload), maps.Clone(m.Metadata)
		maps.DeleteFunc(headers[i], func(name, _ string) bool { return slices.Contains(inColumns, name) })
	}
	return `-- name: Publish
		WITH published AS (
			INSERT INTO outbox (id, topic, key, payload, headers, expires_at)
			SELECT id, topic, key, payload, CASE WHEN (SELECT x.key FROM erased AS x WHERE x.key = e.key) IS NULL
				THEN headers ELSE headers - 'actor' END, expires_at
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::timestamptz[])
				AS e (id, topic, key, payload, headers, expires_at)
			RETURNING id, topic)
		INSERT INTO outbox_pending (event_id, topic) SELECT id, topic FROM published`,
		[]any{ids, topics, keys, payloads, headers, expires}
}
