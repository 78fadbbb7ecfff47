package move

import (
	"context"
	"fmt"
	"strings"

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

// verify compares all rows of the pinned snapshots.
func (a *attempt) verify(ctx context.Context) error {
	var tables [2]map[string]Compared
	err := onBoth(a.pins, func(i int, s *side) (err error) {
		tables[i], err = s.sums(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var differ []string
	for name, here := range tables[0] {
		if there := tables[1][name]; here != there {
			differ = append(differ, fmt.Sprintf("%s had %d rows and has %d", name, here.Rows, there.Rows))
		}
		a.done.Verified = append(a.done.Verified, here)
	}
	if len(differ) > 0 {
		return &DifferentError{differ}
	}
	return nil
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
	rows, err := s.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]Compared{}
	for rows.Next() {
		var c Compared
		if err := rows.Scan(&c.Table, &c.Rows, &c.Sum); err != nil {
			return nil, err
		}
		found[c.Table] = c
	}
	return found, rows.Err()
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

// unsubscribe ends what leads from one side to the other. The servers need not reach each other.
func (m Move) unsubscribe(ctx context.Context, from, to *side) error {
	there, err := to.hasSubscription(ctx, from.stream)
	if err != nil {
		return err
	}
	if there {
		err := to.exec(ctx, fmt.Sprintf("ALTER SUBSCRIPTION %[1]s DISABLE; ALTER SUBSCRIPTION %[1]s SET (slot_name = NONE); "+
			"DROP SUBSCRIPTION %[1]s", from.stream))
		if err != nil && !postgres.HasCode(err, "42704") { // undefined_object: somebody else has dropped it
			return err
		}
	}
	return from.dropSlot(ctx, from.stream)
}
