package events

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

// Handler handles the events of one topic for a module.
type Handler struct {
	topic   string
	lingers bool
	handle  func(ctx context.Context, tx pgx.Tx, batch []*message.Message) error
}

// Delivery is a delivered event and its cause. What is published because of it gets the same cause,
// by PublishTx(WithCause(ctx, d.Cause), …).
type Delivery[E Event] struct {
	Event E
	Cause Cause
}

// On returns the Handler of E's topic. handle writes through tx and nowhere else, so that its
// effect commits together with the inbox row. It must call nothing outside the database, accept any
// order, and ignore fields and values that it does not know. Its error is retried, unless it is
// Final.
func On[E Event](handle func(ctx context.Context, tx pgx.Tx, e E) error) Handler {
	return OnBatch(func(ctx context.Context, tx pgx.Tx, batch []Delivery[E]) error {
		for _, d := range batch {
			under := ctx
			if len(batch) > 1 { // the context of a single event has its cause and its span already
				under = WithCause(ctx, d.Cause)
			}
			if err := handle(under, tx, d.Event); err != nil {
				return err
			}
		}
		return nil
	})
}

// OnBatch is On for a handler that takes many events at once, in a fixed number of statements. They
// are in the order in which they were delivered. When it fails, each event is handled alone.
func OnBatch[E Event](handle func(ctx context.Context, tx pgx.Tx, batch []Delivery[E]) error) Handler {
	var zero E
	return Handler{topic: zero.Topic(), handle: func(ctx context.Context, tx pgx.Tx, events []*message.Message) error {
		batch := make([]Delivery[E], len(events))
		for i, m := range events {
			batch[i].Cause = Cause(m.Metadata)
			if err := json.Unmarshal(m.Payload, &batch[i].Event); err != nil {
				return fmt.Errorf("decode %s: %w", zero.Topic(), err)
			}
		}
		return handle(ctx, tx, batch)
	}}
}

// Final returns err as one that no retry can mend, such as an event that contradicts what its
// module knows. A handler that returns it makes the event a dead letter at once, with err as the
// reason.
func Final(err error) error { return finalError{err} }

type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// Linger returns a handler whose events wait for others, for Config.Linger at most, so that one
// transaction handles more of them. It is for effects that no client waits for. The wait ends
// when an event arrives for a handler that does not linger.
func (h Handler) Linger() Handler {
	h.lingers = true
	return h
}

// Topic returns the topic whose events the handler handles.
func (h Handler) Topic() string { return h.topic }

// run turns a panic into an error, so that a bug ends in a dead letter and not the process.
func (h Handler) run(ctx context.Context, tx pgx.Tx, batch []*message.Message) (err error) {
	defer process.Recover(&err)
	return h.handle(ctx, tx, batch)
}

// byTopic groups the events by topic and keeps each aggregate's order: an event is in no group
// before that of an earlier one.
func byTopic(batch []*message.Message) (groups [][]*message.Message) {
	last := map[string]int{} // the group of the aggregate's latest event
	for _, m := range batch {
		key := m.Metadata[headerKey]
		i := last[key]
		for i < len(groups) && groups[i][0].Metadata[headerTopic] != m.Metadata[headerTopic] {
			i++
		}
		if i == len(groups) {
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], m)
		last[key] = i
	}
	return groups
}
