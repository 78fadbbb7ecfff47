package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// ErrUnfinished means that something of an aggregate is still to be done, for which its events or
// jobs are needed.
var ErrUnfinished = errors.New("not all of its events are published and handled, or not all of its jobs are done")

// EraseTx deletes the module's published events of the aggregates with these ids, which name who
// caused them, and cannot be replayed after that. It fails with ErrUnfinished while an event of
// theirs is not published or not handled yet, or a job of theirs is not done, dead ones included:
// money may hang on them. So nothing is lost, and a handler that returns the error is retried, at
// last as a dead letter. A copy on the bus stays there until the bus drops it.
func EraseTx(ctx context.Context, tx pgx.Tx, keys []string) error {
	// A replay of them waits, and then finds them deleted; or it has them pending again, as the
	// next statement sees.
	postgres.QueueSQL(tx, "SELECT id FROM outbox WHERE id = ANY (ARRAY (SELECT id FROM outbox WHERE key = ANY ($1))) ORDER BY id FOR UPDATE", keys)
	var unfinished bool
	// The conditions that are always true are for the indexes: what is not handled and not done are
	// few.
	err := tx.QueryRow(ctx, `-- name: ReadUnfinished
		SELECT EXISTS (SELECT FROM outbox_pending WHERE event_id = ANY (ARRAY (SELECT id FROM outbox WHERE key = ANY ($1))))
			OR EXISTS (SELECT FROM failed WHERE dead_at IS NULL AND next_at < 'infinity' AND key = ANY ($1))
			OR EXISTS (SELECT FROM failed WHERE dead_at < 'infinity' AND key = ANY ($1))
			OR EXISTS (SELECT FROM jobs WHERE dead_at IS NULL AND kind > '' AND key = ANY ($1))
			OR EXISTS (SELECT FROM jobs WHERE dead_at < 'infinity' AND key = ANY ($1))`, keys).Scan(&unfinished)
	switch {
	case err != nil:
		return fmt.Errorf("read what is unfinished: %w", err)
	case unfinished:
		return ErrUnfinished
	}
	postgres.QueueSQL(tx, "DELETE FROM outbox WHERE key = ANY ($1)", keys)
	return nil
}
