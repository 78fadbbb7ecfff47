package events

import (
	"context"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// EraseTx erases who caused the module's events of the aggregates with these ids: the relay deletes
// those from before tx, within two minutes after they are published, and those from after it, such as
// the answer to an event that comes late, do not say it. So nothing that others need is lost, and
// what is deleted cannot be replayed. A copy on the bus stays there until the bus drops it, and a
// dead letter or a dead job until it is redriven.
func EraseTx(tx pgx.Tx, keys []string) {
	postgres.QueueSQL(tx, "INSERT INTO erased (key) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", keys)
}

// erase deletes published events of erased aggregates that say who caused them. It looks at each
// aggregate again until none of its events is pending, and no transaction is left that began before
// the aggregate was erased. It forgets an aggregate when no event of it can be delivered any more.
func (o *Outbox) erase(ctx context.Context) (more bool, err error) {
	more, err = prune(ctx, o.db, "events of erased aggregates", `
		WITH due AS (
			SELECT key FROM erased WHERE check_at < now() ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED),
		named AS (
			SELECT id, key, (SELECT event_id FROM outbox_pending WHERE event_id = id) IS NOT NULL AS pending
			FROM outbox WHERE key = ANY (ARRAY (SELECT key FROM due)) AND headers ? 'actor'),
		gone AS (DELETE FROM outbox WHERE id = ANY (ARRAY (SELECT id FROM named WHERE NOT pending)))
		UPDATE erased SET check_at = CASE
			WHEN at > now() - interval '1 minute' OR key IN (SELECT key FROM named WHERE pending) THEN now() + interval '1 minute'
			ELSE 'infinity' END
		WHERE key = ANY (ARRAY (SELECT key FROM due))`)
	if err != nil || more {
		return more, err
	}
	return prune(ctx, o.db, "erased aggregates", `
		DELETE FROM erased WHERE key = ANY (ARRAY (
			SELECT key FROM erased WHERE at < now() - $2::interval AND check_at = 'infinity'
			ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED))`, o.cfg.InboxRetention)
}
