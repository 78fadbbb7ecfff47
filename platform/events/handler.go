package events

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

// Handler is what a module does with the events of a topic.
type Handler struct {
	topic   string
	lingers bool
	handle  func(ctx context.Context, tx pgx.Tx, batch []*message.Message) error
}

// Delivery is an event that was delivered to the module, and why it was published: what is
// published because of it gets the same cause, by PublishTx(WithCause(ctx, d.Cause), …).
type Delivery[E Event] struct {
	Event E
	Cause Cause
}

// On pairs a handler with the topic of the event that it takes. The handler's effect goes through
// tx and nowhere else: it commits together with the record that the event was handled. It calls
// nothing outside the database, tolerates any order, and ignores fields and values that it does not
// know.
func On[E Event](handle func(ctx context.Context, tx pgx.Tx, e E) error) Handler {
	return OnBatch(func(ctx context.Context, tx pgx.Tx, batch []Delivery[E]) error {
		for _, d := range batch {
			under := ctx
			if len(batch) > 1 { // the context of one has its cause already, and the span that follows from it
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
	return Handler{topic: zero.Topic(), handle: func(ctx context.Context, tx pgx.Tx, messages []*message.Message) error {
		batch := make([]Delivery[E], len(messages))
		for i, m := range messages {
			batch[i].Cause = Cause(m.Metadata)
			if err := json.Unmarshal(m.Payload, &batch[i].Event); err != nil {
				return fmt.Errorf("decode %s: %w", zero.Topic(), err)
			}
		}
		return handle(ctx, tx, batch)
	}}
}

// Linger has the handler's events wait for others, for Config.Linger at most, so that one
// transaction handles more of them: for what no customer waits for. They wait no longer when one
// arrives for a handler that does not linger.
func (h Handler) Linger() Handler {
	h.lingers = true
	return h
}

// run makes an error of a panic, so that one event's bug is one dead letter and not the end of the
// process.
func (h Handler) run(ctx context.Context, tx pgx.Tx, batch []*message.Message) (err error) {
	defer process.Recover(&err)
	return h.handle(ctx, tx, batch)
}

// byTopic groups the events for their handlers, and keeps the order of those of one aggregate: an
// event is in no group before that of an earlier one.
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
