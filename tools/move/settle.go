package move

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// Compared is one table, as it was on both sides when the fence was up.
type Compared struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Sum   string `json:"sum"` // of a hash of each row's text, the same in every version of PostgreSQL
}

// DifferentError is the error of tables that are not the same on both sides.
type DifferentError struct{ Tables []string }

func (d *DifferentError) Error() string {
	return fmt.Sprintf("the two sides differ: %s. The module goes on at the new home; the old one still has all that it had",
		strings.Join(d.Tables, "; "))
}

// verify compares all rows of the pinned snapshots, and records at the new home what was the same.
func (a *attempt) verify(ctx context.Context) (note string, err error) {
	var tables [2]map[string]Compared
	err = onBoth(a.pins, func(i int, s *side) (err error) {
		tables[i], err = s.sums(ctx)
		return err
	})
	if err != nil {
		return "", err
	}
	var differ []string
	var rows int64
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(tables[0])) {
		here, there := tables[0][name], tables[1][name]
		if here != there {
			differ = append(differ, fmt.Sprintf("%s had %d rows and has %d", name, here.Rows, there.Rows))
		}
		rows += here.Rows
		fmt.Fprintln(sum, here.Table, here.Rows, here.Sum)
	}
	if len(differ) > 0 {
		return "", &DifferentError{differ}
	}
	a.done.Record = fmt.Sprintf("%s %s/%s epoch %d, %d rows in %d tables, checksum %x", time.Now().Format(time.DateOnly),
		a.target.system, a.target.Config().Database, a.done.Epoch, rows, len(tables[0]), sum.Sum(nil)[:8])
	return fmt.Sprintf("%d rows in %d tables", rows, len(tables[0])), a.target.exec(ctx, a.recording(literal(a.done.Record)))
}

// recording returns a statement that keeps the record of a move, as a comment on the schema: there
// it outlives finish, and is in every dump. The rule ledger of package architecture reads it.
func (m Move) recording(record string) string {
	return "COMMENT ON SCHEMA " + pgx.Identifier{m.Module}.Sanitize() + " IS " + record
}

// Record returns the record of the move that brought a module's data to a database; "" without one.
// Each of the module's roles may read it.
func Record(ctx context.Context, conn *pgx.Conn, module string) (record string, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(obj_description(to_regnamespace($1), 'pg_namespace'), '')",
		pgx.Identifier{module}.Sanitize()).Scan(&record)
	return record, err
}

// sums returns the count and the checksum of each table, by its name.
func (s *side) sums(ctx context.Context) (map[string]Compared, error) {
	var query string
	// The columns are in the order of their names: migrations may have added them in another order.
	err := s.QueryRow(ctx, `SELECT string_agg(format('SELECT %L AS name, count(*), coalesce(sum((''x'' || '
			'substr(md5(ROW(%s)::text), 1, 15))::bit(60)::bigint), 0)::text FROM %I.%I', relname, columns, current_schema(), relname), ' UNION ALL ')
		FROM (SELECT relname, (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute
			WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped) AS columns FROM (`+dataTables+`) AS t) AS tables`).Scan(&query)
	if err != nil {
		return nil, err
	}
	rows, _ := s.Query(ctx, query) // CollectRows returns the error
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Compared])
	found := map[string]Compared{}
	for _, c := range all {
		found[c.Table] = c
	}
	return found, err
}

// reverse makes the side that was left follow the home. It may be repeated.
func (m Move) reverse(ctx context.Context, home, left *side) error {
	if err := m.stepTo(ctx, "forward off", func(ctx context.Context) error {
		return m.unsubscribe(ctx, left, home)
	}); err != nil {
		return err
	}
	return m.stepTo(ctx, "way back", func(ctx context.Context) error {
		there, err := left.hasSubscription(ctx, home.stream)
		if err != nil || there {
			return err
		}
		kept, err := home.hasSlot(ctx, home.stream)
		if err != nil {
			return err
		}
		if !kept {
			return fmt.Errorf("there is no way back: %s keeps nothing for %s, whose copy is old now; "+
				"seam move finish drops it", home.address, left.address)
		}
		return m.subscribe(ctx, home, left, false)
	})
}

// unsubscribe ends what leads from one side to the other. The servers need not reach each other. A
// switch that was not done has left a publication that publishes nothing (makeWayBack).
func (m Move) unsubscribe(ctx context.Context, from, to *side) error {
	there, err := to.hasSubscription(ctx, from.stream)
	if err != nil {
		return err
	}
	if there {
		if err := to.unsubscribe(ctx, from.stream); err != nil {
			return err
		}
	}
	if err := from.dropSlot(ctx, from.stream); err != nil {
		return err
	}
	silent, err := from.exists(ctx, "SELECT FROM pg_publication WHERE pubname = $1 AND NOT pubinsert", m.publication())
	if err != nil || !silent {
		return err
	}
	return from.exec(ctx, m.publishing(everything))
}

// unsubscribe drops a subscription, and leaves its slot on the other side alone.
func (s *side) unsubscribe(ctx context.Context, name string) error {
	err := s.exec(ctx, fmt.Sprintf("ALTER SUBSCRIPTION %[1]s DISABLE; ALTER SUBSCRIPTION %[1]s SET (slot_name = NONE); "+
		"DROP SUBSCRIPTION %[1]s", name))
	if postgres.HasCode(err, "42704") { // undefined_object: it is dropped already
		return nil
	}
	return err
}
