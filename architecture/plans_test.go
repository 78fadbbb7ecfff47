package architecture

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
)

// statement matches a statement of sqlc or of platform in Go.
var statement = regexp.MustCompile("[`\"]\\s*((?:-- name: [^`]*?)?" +
	"(?:WITH|SELECT|INSERT INTO|UPDATE|DELETE FROM) [^`]*?)[`\"][,)\n]")

// TestEveryStatementHasItsIndex checks PostgreSQL's plan of every statement of modules and
// platform. A statement that reads a whole table is fast when it is written, and stops the system
// a year later.
func TestEveryStatementHasItsIndex(t *testing.T) {
	t.Parallel()
	modules := schemas(t)
	db, tree := pgtest.New(t, modules...), repository(t)
	// The rest of platform runs as an admin.
	var platform []string
	for _, folder := range []string{"events", "idempotency", "jobs"} {
		statements := statementsIn(tree, "platform/"+folder)
		if len(statements) == 0 {
			t.Fatalf("no statement in platform/%s: the search is broken", folder)
		}
		platform = append(platform, statements...)
	}
	for _, m := range modules {
		t.Run(m.Module, func(t *testing.T) {
			conn := connect(t, db.URL(m.Module))
			statements := statementsIn(tree, "modules/"+m.Module+"/internal/db")
			if want := strings.Count(tree["modules/"+m.Module+"/queries.sql"], "-- name: "); len(statements) != want {
				t.Fatalf("%d statements of %d queries: the search is broken", len(statements), want)
			}
			statements = append(statements, platform...)
			search := func(tables string) {
				t.Helper()
				for _, s := range statements {
					if table := readWhole(t, conn, s); table != "" {
						t.Errorf("%s, with tables that are %s: it reads all of %s:\n%s\n"+
							"  instead: add an index in a migration, and a condition on the table, "+
							"such as id = ANY (ARRAY (SELECT …))", m.Module, tables, table, s)
					}
				}
			}
			// A connection keeps its plan until the next ANALYZE, by which time a table may have
			// grown.
			maintain(t, db.MigrateURL(m.Module), "VACUUM ANALYZE")
			search("empty")
			maintain(t, db.MigrateURL(m.Module), fill)
			search("large")
			report := "SELECT o.key, count(*) FROM outbox AS o JOIN inbox AS i ON i.event_id = o.id GROUP BY o.key"
			if p := explain(t, conn, report); p.has("Nested Loop") {
				t.Errorf("a report has a nested loop: %+v", p)
			}
			for _, bad := range []string{
				"SELECT FROM outbox WHERE topic = $1",
				"SELECT FROM outbox WHERE topic = $1 ORDER BY id",
				"SELECT FROM outbox WHERE topic IN (SELECT topic FROM outbox WHERE id > $1 ORDER BY id LIMIT $2)",
			} {
				if table := readWhole(t, conn, bad); table != "outbox" {
					t.Errorf("%s: got %q, want outbox: the search is broken", bad, table)
				}
			}
		})
	}
}

// fill fills the tables that grow in every module, so that the cost decides the plan.
const fill = `
	INSERT INTO outbox (id, topic, key, payload, headers)
		SELECT gen_random_uuid(), 't', 'k', '{}', '{}' FROM generate_series(1, 20000);
	INSERT INTO outbox_pending (event_id, topic) SELECT id, topic FROM outbox;
	INSERT INTO jobs (id, kind, key, args, cause, tries, due_at)
		SELECT gen_random_uuid(), 'k', 'k', '{}', '{}', 0, now() FROM generate_series(1, 20000);
	INSERT INTO inbox (event_id, topic) SELECT gen_random_uuid(), 't' FROM generate_series(1, 20000);
	INSERT INTO erased (key) SELECT gen_random_uuid()::text FROM generate_series(1, 20000);
	INSERT INTO idempotency_keys (scope, key, request_hash, answer)
		SELECT 's', gen_random_uuid(), '', '' FROM generate_series(1, 20000);
	ANALYZE outbox, outbox_pending, jobs, inbox, erased, idempotency_keys`

// maintain runs statements as the module's owner.
func maintain(t *testing.T, ownerURL, statements string) {
	t.Helper()
	if _, err := connect(t, ownerURL).Exec(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

func statementsIn(tree Tree, folder string) (found []string) {
	for _, file := range tree.sources(folder) {
		for _, match := range statement.FindAllStringSubmatch(tree[file], -1) {
			found = append(found, match[1])
		}
	}
	return found
}

// plan is a node of EXPLAIN's output.
type plan struct {
	Node      string `json:"Node Type"`
	Table     string `json:"Relation Name"`
	Condition string `json:"Index Cond"`
	Plans     []plan
}

// whole returns a table that is read from end to end, by a sequential scan or by an index without a
// condition, unless a limit stops that.
func (p plan) whole(limited bool) (table string) {
	switch p.Node {
	case "Seq Scan":
		return p.Table
	case "Index Scan", "Index Only Scan":
		if p.Condition == "" && !limited {
			return p.Table
		}
	}
	for _, of := range p.Plans {
		if table := of.whole(p.Node == "Limit" || limited && p.Node == "LockRows"); table != "" {
			return table
		}
	}
	return ""
}

// has reports whether a node of that kind is in the plan.
func (p plan) has(node string) bool {
	return p.Node == node || slices.ContainsFunc(p.Plans, func(p plan) bool { return p.has(node) })
}

// readWhole returns a table that the statement reads from end to end.
func readWhole(t *testing.T, conn *pgx.Conn, s string) (table string) {
	t.Helper()
	return explain(t, conn, s).whole(false)
}

// explain returns the statement's generic plan, so the parameters may be NULL.
func explain(t *testing.T, conn *pgx.Conn, s string) plan {
	t.Helper()
	prepared, err := conn.Prepare(t.Context(), "", s)
	if err != nil {
		t.Fatalf("%v:\n%s", err, s)
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(prepared.ParamOIDs)), ", ")
	if nulls != "" {
		nulls = "(" + nulls + ")"
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), "PREPARE explained AS "+s); err != nil {
		t.Fatalf("%v:\n%s", err, s)
	}
	defer conn.Exec(context.WithoutCancel(t.Context()), "DEALLOCATE explained")
	var explained []struct{ Plan plan }
	row := tx.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) EXECUTE explained"+nulls, pgx.QueryExecModeSimpleProtocol)
	if err := row.Scan(&explained); err != nil {
		t.Fatalf("%v:\n%s", err, s)
	}
	return explained[0].Plan
}
