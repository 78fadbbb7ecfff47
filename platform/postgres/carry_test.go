package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// basket carries marks and records their outcome.
type basket struct {
	postgres.Carrier[string]
	inserts int
	ended   []outcome
}

func (b *basket) carrier() *postgres.Carrier[string] {
	b.Insert, b.Ended = b.insert, b.end
	return &b.Carrier
}

type outcome struct {
	Items     []string
	Committed bool
}

func (b *basket) insert(items []string) (sql string, args []any) {
	b.inserts++
	return "-- InsertMarks\nINSERT INTO marks (name) SELECT unnest($1::text[])", []any{items}
}

func (b *basket) end(items []string, committed bool) {
	b.ended = append(b.ended, outcome{items, committed})
}

// expect checks the outcome of the one transaction that carried the items.
func (b *basket) expect(t *testing.T, committed bool, items ...string) {
	t.Helper()
	want := []outcome{{Items: items, Committed: committed}}
	if diff := cmp.Diff(want, b.ended); diff != "" {
		t.Error(diff)
	}
}

func carry(t *testing.T, db *postgres.DB, tx pgx.Tx, b *basket, items ...string) {
	t.Helper()
	for _, item := range items {
		if err := postgres.Carry(db, tx, b.carrier(), item); err != nil {
			t.Error(err)
		}
	}
}

// All items of a carrier are one statement, which is sent with the commit. Each carrier has its
// own.
func TestItemsAreSentWithTheCommit(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	var one, two *basket
	work := func(name string) {
		one, two = &basket{}, &basket{}
		err := db.InTx(t.Context(), func(tx pgx.Tx) error {
			carry(t, db, tx, one, name+"1", name+"2")
			carry(t, db, tx, two, name+"3")
			if _, err := tx.Exec(t.Context(), insertMark, name+"waited for"); err != nil {
				return err
			}
			var already int
			err := tx.QueryRow(t.Context(), "SELECT count(*) FROM marks WHERE name LIKE $1 || '%'", name).Scan(&already)
			if err != nil || already != 1 {
				t.Errorf("%d marks before the commit (%v)", already, err)
			}
			carry(t, db, tx, one, name+"4")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	work("prepared ")
	already := l.sent.Load()
	work("counted ")
	if trips := l.sent.Load() - already; trips != 3 {
		t.Errorf("it took %d round trips, want 3: two statements, and the commit", trips)
	}
	if one.inserts != 1 || two.inserts != 1 {
		t.Errorf("%d statements of one carrier and %d of the other", one.inserts, two.inserts)
	}
	one.expect(t, true, "counted 1", "counted 2", "counted 4")
	two.expect(t, true, "counted 3")
	var all int
	if err := db.QueryRow(t.Context(), countMarks).Scan(&all); err != nil || all != 2*5 {
		t.Errorf("%d marks (%v)", all, err)
	}
}

// Items can be removed, from one carrier and not from another.
func TestUncarry(t *testing.T) {
	t.Parallel()
	db, _ := counted(t)
	one, two := &basket{}, &basket{}
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
		carry(t, db, tx, one, "1", "2", "3")
		carry(t, db, tx, two, "2 of two")
		postgres.Uncarry(tx, one.carrier(), func(item string) bool { return strings.HasPrefix(item, "2") })
		carry(t, db, tx, one, "4")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	one.expect(t, true, "1", "3", "4")
	two.expect(t, true, "2 of two")
	var all string
	err = db.QueryRow(t.Context(), "SELECT string_agg(name, ', ' ORDER BY name) FROM marks").Scan(&all)
	if err != nil || all != "1, 2 of two, 3, 4" {
		t.Errorf("marks %s (%v)", all, err)
	}
}

// A transaction that only carries items is one round trip.
func TestCarryingAloneIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	for i := range 3 {
		already := l.sent.Load()
		b := &basket{}
		err := db.InTx(t.Context(), func(tx pgx.Tx) error { carry(t, db, tx, b, fmt.Sprint(i)); return nil })
		if err != nil || len(b.ended) != 1 || !b.ended[0].Committed {
			t.Fatalf("%v, ended %v", err, b.ended)
		}
		if trips := l.sent.Load() - already; i > 0 && trips != 1 {
			t.Errorf("it took %d round trips", trips)
		}
	}
}

// Items that were not committed, or whose outcome is unknown, are reported as such, once.
func TestWhatIsCarriedIsNotCommitted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		f     func(ctx context.Context, db *postgres.DB, l line, tx pgx.Tx, b *basket) error
		stays int // marks: PostgreSQL has committed, and its answer was lost
	}{
		"f fails": {f: func(context.Context, *postgres.DB, line, pgx.Tx, *basket) error { return errors.New("mine") }},
		"f fails after a statement": {f: func(ctx context.Context, _ *postgres.DB, _ line, tx pgx.Tx, _ *basket) error {
			return errors.Join(queries{tx}.InsertMark(ctx, "good"), errors.New("mine"))
		}},
		"f panics": {f: func(context.Context, *postgres.DB, line, pgx.Tx, *basket) error { panic("mine") }},
		"PostgreSQL refuses an item": {f: func(_ context.Context, db *postgres.DB, _ line, tx pgx.Tx, b *basket) error {
			return postgres.Carry(db, tx, b.carrier(), "bad")
		}},
		"the commit fails": {f: func(_ context.Context, _ *postgres.DB, _ line, tx pgx.Tx, _ *basket) error {
			postgres.Queue(tx, queries{tx}.InsertTwin, "same")
			postgres.Queue(tx, queries{tx}.InsertTwin, "same")
			return nil
		}},
		"the caller has given up": {f: func(ctx context.Context, _ *postgres.DB, _ line, tx pgx.Tx, _ *basket) error {
			_, err := tx.Exec(ctx, "SELECT pg_sleep(60)")
			return err
		}},
		"the connection is lost": {f: func(ctx context.Context, _ *postgres.DB, _ line, tx pgx.Tx, _ *basket) error {
			_, _ = tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return nil
		}},
		"the answer is lost": {stays: 2, f: func(_ context.Context, _ *postgres.DB, l line, _ pgx.Tx, _ *basket) error {
			l.lost.Store(true)
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, l := counted(t)
			err := db.InTx(t.Context(), func(tx pgx.Tx) error { // prepares all statements
				carry(t, db, tx, &basket{}, "before")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			b := &basket{}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			func() {
				defer func() {
					if p := recover(); p != nil {
						err = fmt.Errorf("%v", p)
					}
				}()
				err = db.InTx(ctx, func(tx pgx.Tx) error {
					carry(t, db, tx, b, "one", "two")
					if name == "the caller has given up" {
						stop()
					}
					return test.f(ctx, db, l, tx, b)
				})
			}()
			l.lost.Store(false)
			if err == nil {
				t.Error("it has no error")
			}
			if len(b.ended) != 1 || b.ended[0].Committed || len(b.ended[0].Items) < 2 {
				t.Errorf("ended: %v", b.ended)
			}
			await(t, func() bool { // the server may not have noticed yet
				var n int
				if err := db.QueryRow(t.Context(), countMarks).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n == 1+test.stays
			})
		})
	}
}

// Only the database's own transactions carry items: another would neither write them nor report its
// end.
func TestOnlyItsOwnTransactionsCarry(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t,
		pgtest.Schema{Module: "marks", Migrations: schema}, pgtest.Schema{Module: "other", Migrations: schema})
	marks, other := db.Module(t, "marks"), db.Module(t, "other")
	b := &basket{}
	refused := func(tx pgx.Tx) error {
		err := postgres.Carry(marks, tx, b.carrier(), "item")
		if err == nil || err.Error() != "the transaction was not begun by the database of marks" {
			return fmt.Errorf("error %w", err)
		}
		return nil
	}
	for name, err := range map[string]error{
		"pgx's own":        pgx.BeginFunc(t.Context(), marks, refused),
		"another module's": other.InTx(t.Context(), refused),
		"a savepoint": marks.InTx(t.Context(), func(tx pgx.Tx) error {
			return pgx.BeginFunc(t.Context(), tx, refused)
		}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.inserts != 0 || len(b.ended) != 0 {
		t.Errorf("%d statements, ended %v", b.inserts, b.ended)
	}
}
