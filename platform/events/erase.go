package events

import (
	"context"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// EraseTx erases who caused the module's events of the aggregates with these ids. The relay deletes
// those in the outbox, within two minutes after they are published; what is published after tx,
// such as the answer to an event that comes late, is kept there without it. So nothing that others
// need is lost, and what is deleted cannot be replayed. A copy on the bus stays there until the bus
// drops it; a dead letter or a dead job stays until it is redriven.
func EraseTx(tx pgx.Tx, keys []string) {
	postgres.QueueSQL(tx, `INSERT INTO erased (key) SELECT DISTINCT unnest($1::text[])
		ON CONFLICT (key) DO UPDATE SET at = now(), check_at = now()`, keys)
}

// Erases returns a handler that does EraseTx for the aggregates of the events, for a module that has
// nothing else that names who is erased. It lingers.
func Erases[E Event]() Handler {
	return OnBatch(func(_ context.Context, tx pgx.Tx, batch []Delivery[E]) error {
		keys := make([]string, len(batch))
		for i, d := range batch {
			keys[i], _ = d.Event.Aggregate()
		}
		EraseTx(tx, keys)
		return nil
	}).Linger()
}

// erase deletes published events of erased aggregates that say who caused them. It looks at an
// aggregate again until there is none, and five minutes have passed: a transaction that has not
// seen the erasure is over by then. An event that is replayed at the same moment stays until the
// next look. Nothing is kept of an aggregate when no event of it can be delivered any more.
func (o *Outbox) erase(ctx context.Context) (more bool, err error) {
	more, err = prune(ctx, o.db, "events of erased aggregates", `
		WITH due AS (
			SELECT key FROM erased WHERE check_at < now() ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED),
		named AS (
			SELECT id, key, replays, (SELECT event_id FROM outbox_pending WHERE event_id = id) IS NOT NULL AS pending
			FROM outbox WHERE key = ANY (ARRAY (SELECT key FROM due)) AND headers ? 'actor' LIMIT $1),
		gone AS (
			DELETE FROM outbox USING named WHERE outbox.id = ANY (ARRAY (SELECT id FROM named))
			AND outbox.id = named.id AND outbox.replays = named.replays AND NOT named.pending)
		UPDATE erased SET check_at = CASE
			WHEN at > now() - interval '5 minutes' OR key IN (SELECT key FROM named) OR (SELECT count(*) FROM named) = $1
			THEN now() + interval '1 minute' ELSE 'infinity' END
		WHERE key = ANY (ARRAY (SELECT key FROM due))`)
	if err != nil || more {
		return more, err
	}
	return prune(ctx, o.db, "erased aggregates", `
		DELETE FROM erased WHERE key = ANY (ARRAY (
			SELECT key FROM erased WHERE at < now() - $2::interval AND check_at = 'infinity'
			AND (SELECT count(*) FROM jobs WHERE dead_at < 'infinity' AND jobs.key = erased.key) = 0
			ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED))`, max(o.cfg.InboxRetention, o.cfg.DeadRetention))
}
