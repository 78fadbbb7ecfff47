// Package events delivers facts from one module to others: a transactional outbox, a relay, a bus, and a consumer
// with an inbox.
//
// It promises that an event whose transaction committed reaches every listener, and that a listener's effect on its own
// database happens once per event, whatever dies in between:
//
//	use case ──┐ one transaction                 one transaction ┌── handler
//	  state    │                                                 │   effect
//	  outbox ──┘──▶ relay ──▶ bus (memory or nats) ──▶ consumer ─┴── inbox
//	            at least once        at least once         once
//
// The bus may lose everything: published rows stay in the outbox and can be replayed, and the inbox makes that harmless.
// Order is not promised; an event names its aggregate's version. (Patterns: transactional outbox and idempotent consumer,
// Richardson, Microservices Patterns, chapter 3. Header names: CloudEvents 1.0.)
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// Event is a fact that a module tells others. The structs of the contract packages satisfy it without importing it.
type Event interface {
	// Topic is the wire name, a literal with a version: orders.placed.v1.
	Topic() string
	// Aggregate is what the fact is about, and its version when the fact became true.
	Aggregate() (id string, version int64)
}

// maxPayload leaves room in the 1 MiB that a broker takes by default, for headers and for PostgreSQL's way of writing JSON, which is longer.
// An event that the bus always refuses would hold up all later ones of its topic, so it is refused to whoever tells it.
const maxPayload = 512 << 10

var errTooLarge = errors.New("the event is larger than a bus takes")

// PublishTx writes the event to the outbox of the transaction's module. The event exists if and only if tx commits; the
// relay tells it from then on. Wake the relay after the commit: it makes milliseconds of what would be a poll. An event that cannot be
// written is an error here or at the commit.
func PublishTx(ctx context.Context, tx pgx.Tx, ev Event) error {
	payload, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("publish %s: %w", ev.Topic(), err)
	}
	if len(payload) > maxPayload {
		return fmt.Errorf("publish %s: %w: %d bytes of at most %d", ev.Topic(), errTooLarge, len(payload), maxPayload)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("publish %s: %w", ev.Topic(), err)
	}
	key, version := ev.Aggregate()
	_, err = postgres.Later(tx).Exec(ctx, "INSERT INTO outbox (id, topic, key, payload, headers) VALUES ($1, $2, $3, $4, $5)",
		id, ev.Topic(), key, payload, headersOf(ctx, id, ev.Topic(), key, version))
	if err != nil {
		return fmt.Errorf("publish %s: %w", ev.Topic(), err)
	}
	return nil
}

// headersOf describes the event by CloudEvents attributes, and carries on the cause that ctx knows.
func headersOf(ctx context.Context, id uuid.UUID, topic, key string, version int64) map[string]string {
	headers := map[string]string(CauseOf(ctx))
	if headers[headerCorrelation] == "" {
		headers[headerCorrelation] = id.String()
	}
	module, _, _ := strings.Cut(topic, ".")
	headers["specversion"] = "1.0"
	headers["id"] = id.String()
	headers["source"] = "/" + module
	headers["type"] = topic
	headers["subject"] = key
	headers["time"] = time.Now().UTC().Format(time.RFC3339Nano)
	headers["datacontenttype"] = "application/json"
	headers["aggregateversion"] = strconv.FormatInt(version, 10)
	return headers
}
