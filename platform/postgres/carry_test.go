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

func newBasket() *basket {
	b := &basket{}
	b.Insert = func(items []string) (sql string, args []any) {
		b.inserts++
		return "-- InsertMarks\nINSERT INTO marks (name) SELECT unnest($1::text[])", []any{items}
	}
	b.Ended = func(items []string, committed bool) { b.ended = append(b.ended, outcome{items, committed}) }
	return b
}

type outcome struct {
	Items     []string
	Committed bool
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
		if err := postgres.Carry(db, tx, &b.Carrier, item); err != nil {
			t.Error(err)
		}
	}
}

// All items of a carrier are one statement, which is sent with the commit. Each carrier has its
// own, and items can be removed from one and not from another.
func TestItemsAreSentWithTheCommit(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	var one, two *basket
	inTx := func(f func(tx pgx.Tx) error) (trips int64) {
		t.Helper()
		one, two = newBasket(), newBasket()
		already := l.sent.Load()
		if err := db.InTx(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		return l.sent.Load() - already
	}
	work := func(name string) (trips int64) {
		return inTx(func(tx pgx.Tx) error {
			carry(t, db, tx, one, name+"1", name+"2", name+"3")
			carry(t, db, tx, two, name+"2 of two")
			if _, err := tx.Exec(t.Context(), insertMark, name+"waited for"); err != nil {
				return err
			}
			var already int
			err := tx.QueryRow(t.Context(), "SELECT count(*) FROM marks WHERE name LIKE $1 || '%'", name).Scan(&already)
			if err != nil || already != 1 {
				t.Errorf("%d marks before the commit (%v)", already, err)
			}
			postgres.Uncarry(tx, &one.Carrier, func(item string) bool { return strings.HasPrefix(item, name+"2") })
			carry(t, db, tx, one, name+"4")
			return nil
		})
	}
	work("prepared ")
	if trips := work("counted "); trips != 3 {
		t.Errorf("it took %d round trips, want 3: two statements, and the commit", trips)
	}
	if one.inserts != 1 || two.inserts != 1 {
		t.Errorf("%d statements of one carrier and %d of the other", one.inserts, two.inserts)
	}
	one.expect(t, true, "counted 1", "counted 3", "counted 4")
	two.expect(t, true, "counted 2 of two")
	if n := marksOf(t, db); n != 2*5 {
		t.Errorf("%d marks, want 10", n)
	}
	for i := range 2 {
		trips := inTx(func(tx pgx.Tx) error { carry(t, db, tx, one, fmt.Sprint(i)); return nil })
		if one.expect(t, true, fmt.Sprint(i)); i > 0 && trips != 1 {
			t.Errorf("a transaction that only carries took %d round trips", trips)
		}
	}
}

// A transaction is not committed when f fails, panics or hides an error: what follows an error
// before the beginning would run in none. Its items, and those whose outcome is unknown, are
// reported as not committed, once, and the connection can be used again.
func TestWhatIsNotCommitted(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	mine := errors.New("mine")
	var b *basket
	var ctx context.Context
	var stop context.CancelFunc
	exec := func(tx pgx.Tx, name string) error { return queries{tx}.InsertMark(ctx, name) }
	fail := func(tx pgx.Tx) { _, _ = tx.Exec(ctx, "SELECT nothing FROM nowhere") }
	for name, test := range map[string]struct {
		f    func(tx pgx.Tx) error
		want error // nil for any
	}{
		"f fails": {func(tx pgx.Tx) error { queueMark(tx, "queued"); return mine }, mine},
		"f fails after a statement": {func(tx pgx.Tx) error {
			queueMark(tx, "queued")
			return errors.Join(exec(tx, "good"), mine)
		}, mine},
		"f panics": {func(tx pgx.Tx) error { _ = exec(tx, "good"); panic(mine) }, mine},
		"f hides an error": {func(tx pgx.Tx) error {
			_, _ = exec(tx, "good"), exec(tx, "bad")
			queueMark(tx, "other")
			return nil
		}, pgx.ErrTxCommitRollback},
		"f hides its first statement's error": {func(tx pgx.Tx) error { fail(tx); return exec(tx, "good") }, nil},
		"f queues after its first one's":      {func(tx pgx.Tx) error { fail(tx); queueMark(tx, "good"); return nil }, nil},
		"PostgreSQL refuses an item":          {func(tx pgx.Tx) error { carry(t, db, tx, b, "bad"); return nil }, nil},
		"the commit fails": {func(tx pgx.Tx) error {
			postgres.Queue(tx, queries{tx}.InsertTwin, "same")
			postgres.Queue(tx, queries{tx}.InsertTwin, "same")
			return nil
		}, nil},
		"the caller has given up": {func(tx pgx.Tx) error {
			stop()
			_, err := tx.Exec(ctx, "SELECT pg_sleep(60)")
			return err
		}, nil},
		"the connection is lost": {func(tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return nil
		}, nil},
		"the answer is lost": {func(pgx.Tx) error { l.lost.Store(true); return nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := db.InTx(t.Context(), func(tx pgx.Tx) error { // prepares all statements
				carry(t, db, tx, newBasket(), "before")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop = context.WithCancel(t.Context())
			defer stop()
			b = newBasket()
			func() {
				defer func() {
					if p := recover(); p != nil {
						err = p.(error)
					}
				}()
				err = db.InTx(ctx, func(tx pgx.Tx) error {
					carry(t, db, tx, b, "one", "two")
					return test.f(tx)
				})
			}()
			l.lost.Store(false)
			_, queued := errors.AsType[*postgres.QueuedError](err)
			if err == nil || test.want != nil && (!errors.Is(err, test.want) || queued) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if len(b.ended) != 1 || b.ended[0].Committed || len(b.ended[0].Items) < 2 {
				t.Errorf("ended: %v", b.ended)
			}
			want := 1
			if name == "the answer is lost" { // and PostgreSQL has committed
				want += 2
			}
			pgtest.Until(t, "the server has noticed", func() bool { return marksOf(t, db) == want })
			if _, err := db.Exec(t.Context(), "DELETE FROM marks"); err != nil {
				t.Error(err)
			}
		})
	}
	if err := db.InTx(t.Context(), func(pgx.Tx) error { return nil }); err != nil {
		t.Errorf("a transaction that does nothing: %v", err)
	}
}

// Only the database's own transactions carry items: another would neither write them nor report its
// end.
func TestOnlyItsOwnTransactionsCarry(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t,
		pgtest.Schema{Module: "marks", Migrations: schema}, pgtest.Schema{Module: "other", Migrations: schema})
	marks, other := db.Module(t, "marks"), db.Module(t, "other")
	b := newBasket()
	refused := func(tx pgx.Tx) error {
		err := postgres.Carry(marks, tx, &b.Carrier, "item")
		if err == nil || err.Error() != "the transaction was not begun by the database of marks" {
			return fmt.Errorf("error %w", err)
		}
		return nil
	}
	for name, err := range map[string]error{
		"pgx's own":        pgx.BeginFunc(t.Context(), marks.Pool(), refused),
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
