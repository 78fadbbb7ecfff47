package move

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A check is a query for the names of what is in the way of a move, with the way out.
type check struct{ what, fix, query string }

// inSchema are the relations of the module's schema.
const inSchema = "relnamespace = current_schema()::regnamespace"

// ofSource are the checks of the module's schema.
var ofSource = []check{
	{"tables without a primary key: %s", "add one, or ALTER TABLE … REPLICA IDENTITY USING INDEX, or FULL", `
		SELECT relname FROM pg_class AS c WHERE ` + inSchema + ` AND relkind = 'r' AND relname NOT IN ` + kept + `
		AND (relreplident = 'n' OR relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary))`},
	{"unlogged tables, which are not replicated: %s", "ALTER TABLE … SET LOGGED, or drop them", `
		SELECT relname FROM pg_class WHERE ` + inSchema + ` AND relkind IN ('r', 'p', 'S') AND relpersistence <> 'p'`},
	{"foreign tables and materialized views, which are not replicated: %s", "drop them, and make them again after the move", `
		SELECT relname FROM pg_class WHERE ` + inSchema + ` AND relkind IN ('f', 'm')`},
	{"triggers that would also fire for what is replicated: %s", "ALTER TABLE … ENABLE TRIGGER, without ALWAYS or REPLICA", `
		SELECT relname || '.' || tgname FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid
		WHERE ` + inSchema + ` AND NOT tgisinternal AND tgenabled IN ('A', 'R')`},
	{"functions that write with their owner's rights, past the fence: %s", "ALTER FUNCTION … SECURITY INVOKER", `
		SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND prosecdef AND proname <> 'lift_fence'`},
	{"foreign keys into or out of the schema: %s", "drop them: the two will be in different databases", `
		SELECT conname FROM pg_constraint AS k JOIN pg_class AS a ON a.oid = conrelid JOIN pg_class AS b ON b.oid = confrelid
		WHERE contype = 'f' AND a.relnamespace <> b.relnamespace AND current_schema()::regnamespace IN (a.relnamespace, b.relnamespace)`},
	{"views over the schema's border: %s", "drop them: the two will be in different databases", `
		SELECT DISTINCT v.relname FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class
		JOIN pg_class AS t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
		WHERE d.classid = 'pg_rewrite'::regclass AND v.relnamespace <> t.relnamespace
		AND current_schema()::regnamespace IN (v.relnamespace, t.relnamespace) AND t.relnamespace <> 'pg_catalog'::regnamespace`},
	{"large objects of the module's roles: %s", "move what they have into a column", `
		SELECT m.oid::text FROM pg_largeobject_metadata AS m JOIN pg_roles AS r ON r.oid = lomowner WHERE rolname = ANY ($1::text[])`},
	{"the role that serves is a member of others, whose rights the fence does not take: %s", "REVOKE these roles from it", `
		SELECT roleid::regrole::text FROM pg_auth_members WHERE pg_get_userbyid(member) = ($1::text[])[1]`},
	{"the role that serves may do everything, or owns tables: %s", "let seam setup make it, and owner and runtime differ", `
		SELECT rolname FROM pg_roles AS r WHERE rolname = ($1::text[])[1] AND (rolsuper
			OR EXISTS (SELECT FROM pg_class WHERE ` + inSchema + ` AND relowner = r.oid))`},
}

// ofBoth are the checks of each server and database.
var ofBoth = []check{
	{"wal_level is %s", "ALTER SYSTEM SET wal_level = logical, and restart the server", `
		SELECT setting FROM pg_settings WHERE name = 'wal_level' AND setting <> 'logical'`},
	{"no four replication slots are free, but %s", "raise max_replication_slots, or drop some, and restart the server", `
		SELECT free::text FROM (SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots) AS s (free)
		WHERE free < 4`},
	{"no four replication origins are free, but %s", "raise max_active_replication_origins, or max_replication_slots before PostgreSQL 18, and restart the server", `
		SELECT free::text FROM (SELECT coalesce(current_setting('max_active_replication_origins', true),
			current_setting('max_replication_slots'))::int - count(*) FROM pg_replication_origin) AS s (free)
		WHERE free < 4`},
	{"no four processes are free to send the log, but %s", "raise max_wal_senders, and restart the server", `
		SELECT free::text FROM (SELECT current_setting('max_wal_senders')::int - count(*) FROM pg_stat_replication) AS s (free)
		WHERE free < 4`},
	{"max_sync_workers_per_subscription is %s, so nothing is ever copied", "ALTER SYSTEM SET it to 2, and pg_reload_conf()", `
		SELECT setting FROM pg_settings WHERE name = 'max_sync_workers_per_subscription' AND setting = '0'`},
	{"prepared transactions: %s", "COMMIT PREPARED or ROLLBACK PREPARED", `
		SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`},
	{"sessions in a transaction for more than 5 s, for which a slot waits: %s", "wait for them, or pg_terminate_backend", `
		SELECT pid::text FROM pg_stat_activity WHERE xact_start < now() - interval '5 s' AND backend_type = 'client backend'
		AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL`},
}

// workers is the check for so many processes that copy and follow. Those of this move count as
// free.
func (m Move) workers(wanted int) check {
	return check{
		fmt.Sprintf("processes free to copy and to follow: %%s, and it takes %d", wanted), "raise max_logical_replication_workers, and restart the server",
		fmt.Sprintf(`SELECT free::text FROM (SELECT current_setting('max_logical_replication_workers')::int - count(*) FROM pg_stat_subscription
			WHERE pid IS NOT NULL AND NOT coalesce(subname `+streamsOf(m.Module)+`, false)) AS s (free) WHERE free < %d`, wanted),
	}
}

// refusals returns what is in the way on either side, of which the target starts so many processes.
func (m Move) refusals(ctx context.Context, source, target *side, starts int) (found []Refusal, err error) {
	roles := []string{m.runtime(), m.migrate(), m.owner()}
	for _, s := range []*side{source, target} {
		checks := slices.Concat(ofBoth, []check{m.workers(starts)})
		if s == source {
			checks = slices.Concat(ofBoth, []check{m.workers(1)}, ofSource) // for the way back
		}
		for _, c := range checks {
			var names []string
			err := s.QueryRow(ctx, "SELECT coalesce(array_agg(name::text ORDER BY name::text), '{}') FROM ("+c.query+") AS found (name) "+
				"WHERE $1::text[] IS NOT NULL", roles).Scan(&names)
			if err != nil {
				return nil, fmt.Errorf("check %s: %w", c.what, err)
			}
			if len(names) > 0 {
				found = append(found, Refusal{s.address, fmt.Sprintf(c.what, list(names)), c.fix})
			}
		}
	}
	if source.system == target.system {
		return found, nil
	}
	missing, err := m.missingRoles(ctx, source, target, roles)
	return append(found, missing...), err
}

// missingRoles are those with rights on the tables that the target's server does not have.
func (m Move) missingRoles(ctx context.Context, source, target *side, own []string) ([]Refusal, error) {
	var others, missing []string
	err := source.QueryRow(ctx, `SELECT coalesce(array_agg(DISTINCT pg_get_userbyid(grantee)::text), '{}') FROM (`+given+`) AS given
		WHERE grantee <> 0 AND pg_get_userbyid(grantee) <> ALL ($1)`, own).Scan(&others)
	if err == nil {
		err = target.QueryRow(ctx, `SELECT coalesce(array_agg(name), '{}') FROM unnest($1::text[]) AS name
			WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)`, others).Scan(&missing)
	}
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	return []Refusal{{target.address, "it lacks roles that have rights on the tables: " + list(missing), "create them there, or revoke the rights"}}, nil
}

// list names at most five.
func list(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// check refuses what has come in the way since the seed.
func (m Move) check(ctx context.Context, source, target *side) error {
	found, err := m.refusals(ctx, source, target, 1)
	if err != nil {
		return err
	}
	return refused(found)
}
