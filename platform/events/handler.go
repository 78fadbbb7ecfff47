package events

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"
)

// Handler is what a module does when it hears of a topic.
type Handler struct {
	topic  string
	handle func(ctx context.Context, tx pgx.Tx, payload []byte) error
	wakes  []Waker
}

// Waker sleeps until there is work: an Outbox, or a worker.
type Waker interface{ Wake() }

// On pairs a handler with the topic of the event that it takes. The handler's effect goes through tx and nowhere else: it
// commits together with the record that the event was handled. It calls nobody outside the database, tolerates any order, and
// ignores fields and values that it does not know.
func On[E Event](handle func(ctx context.Context, tx pgx.Tx, e E) error) Handler {
	var zero E
	return Handler{topic: zero.Topic(), handle: func(ctx context.Context, tx pgx.Tx, payload []byte) error {
		var e E
		if err := json.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("decode %s: %w", zero.Topic(), err)
		}
		return handle(ctx, tx, e)
	}}
}

// Wakes says whom the handler's effect gives work to: the outbox if it publishes, and whichever of the module's workers looks for what it
// writes. They are woken after the commit. Without it they find the work at their next poll.
func (h Handler) Wakes(wakers ...Waker) Handler {
	h.wakes = wakers
	return h
}

// run makes an error of a panic, so that one event's bug is one dead letter and not the end of the process.
func (h Handler) run(ctx context.Context, tx pgx.Tx, payload []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h.handle(ctx, tx, payload)
}
