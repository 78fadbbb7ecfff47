package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
)

// queries are like sqlc's.
type queries struct {
	db interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
}

func (q queries) InsertMark(ctx context.Context, name string) error {
	_, err := q.db.Exec(ctx, insertMark, name)
	return err
}

func (q queries) ListMarks(ctx context.Context, sql string) ([]string, error) {
	rows, err := q.db.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (q queries) InsertTwin(ctx context.Context, name string) error {
	_, err := q.db.Exec(ctx, insertTwin, name)
	return err
}

func (q queries) InsertAnything(ctx context.Context, name any) error {
	_, err := q.db.Exec(ctx, insertMark, name)
	return err
}

func (q queries) InsertNowhere(ctx context.Context, name string) error {
	_, err := q.db.Exec(ctx, "-- name: InsertNowhere :exec\nINSERT INTO nowhere VALUES ($1)", name)
	return err
}

func queueMark(tx pgx.Tx, name string) { postgres.Queue(tx, queries{tx}.InsertMark, name) }

// The error of a queued statement is returned by the next statement that waits, or by the commit,
// with its name, whatever f returns. The transaction is rolled back.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	db, _ := counted(t)
	wait := map[string]func(tx pgx.Tx) error{
		"the commit": func(pgx.Tx) error { return nil },
		"a row": func(tx pgx.Tx) error {
			var n int
			return tx.QueryRow(t.Context(), countMarks).Scan(&n)
		},
		"rows": func(tx pgx.Tx) error {
			_, err := tx.Query(t.Context(), countMarks)
			return err
		},
		"a statement": func(tx pgx.Tx) error { return queries{tx}.InsertMark(t.Context(), "other") },
		"a batch": func(tx pgx.Tx) error {
			b := &pgx.Batch{}
			b.Queue(insertMark, "other")
			return tx.SendBatch(t.Context(), b).Close()
		},
		"a savepoint": func(tx pgx.Tx) error {
			_, err := tx.Begin(t.Context())
			return err
		},
		"a copy": func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"marks"}, []string{"name"},
				pgx.CopyFromRows([][]any{{"other"}}))
			return err
		},
	}
	fail := map[string]func(tx pgx.Tx){
		"is refused":           func(tx pgx.Tx) { queueMark(tx, "bad") },
		"has an unknown table": func(tx pgx.Tx) { postgres.Queue(tx, queries{tx}.InsertNowhere, "good") },
		"has an argument of another type": func(tx pgx.Tx) {
			postgres.Queue(tx, queries{tx}.InsertAnything, any(struct{}{}))
		},
	}
	treat := map[string]func(err error) error{
		"returns the error": func(err error) error { return err },
		"rewords it": func(err error) error {
			if err != nil {
				err = errors.New("out of room")
			}
			return err
		},
		"hides it": func(error) error { return nil },
	}
	for why, fail := range fail {
		for where, wait := range wait {
			for what, treat := range treat {
				t.Run(fmt.Sprintf("it %s at %s and f %s", why, where, what), func(t *testing.T) {
					basket := newBasket()
					err := db.InTx(t.Context(), func(tx pgx.Tx) error {
						queueMark(tx, "good")
						carry(t, db, tx, basket, "carried")
						fail(tx)
						return treat(wait(tx))
					})
					queued, ok := errors.AsType[*postgres.QueuedError](err)
					if !ok || !strings.HasPrefix(queued.Error(), "-- name: Insert") ||
						strings.Contains(queued.Error(), "\n") {
						t.Errorf("error %v, want one that begins with the statement's name", err)
					}
					if ok && (queued.SQL == insertMark) == (why == "has an unknown table") {
						t.Errorf("the error is said to be of %s", queued.SQL)
					}
					if why == "is refused" && !postgres.HasCode(err, "23514") {
						t.Errorf("error %v, want the check's", err)
					}
					basket.expect(t, false, "carried")
					nothingStays(t, db)
				})
			}
		}
	}
}

// A queued statement must be of its own transaction; any other is refused and not run.
func TestOnlyStatementsOfTheirTransactionAreQueued(t *testing.T) {
	t.Parallel()
	marks := newMarks(t).Module(t, "marks")
	refused := errors.New("refused")
	try := func(name string, queue func()) (err error) {
		defer func() {
			if recover() == nil {
				err = fmt.Errorf("%s was queued", name)
			}
		}()
		queue()
		return nil
	}
	err := marks.InTx(t.Context(), func(other pgx.Tx) error { // which commits
		if _, err := other.Exec(t.Context(), "SELECT 1"); err != nil {
			return err
		}
		for name, statement := range map[string]func(ctx context.Context, tx pgx.Tx, name string) error{
			"a statement of the pool": func(ctx context.Context, _ pgx.Tx, name string) error {
				return queries{marks}.InsertMark(ctx, name)
			},
			"a statement of another transaction": func(ctx context.Context, _ pgx.Tx, name string) error {
				return queries{other}.InsertMark(ctx, name)
			},
			"no statement": func(context.Context, pgx.Tx, string) error { return nil },
			"two": func(ctx context.Context, tx pgx.Tx, name string) error {
				return errors.Join(queries{tx}.InsertMark(ctx, name), queries{tx}.InsertMark(ctx, name))
			},
			"one that fails": func(ctx context.Context, tx pgx.Tx, name string) error {
				return errors.Join(queries{tx}.InsertMark(ctx, name), refused)
			},
		} {
			var err error
			_ = marks.InTx(t.Context(), func(tx pgx.Tx) error {
				err = try(name, func() {
					postgres.Queue(tx, func(ctx context.Context, mark string) error { return statement(ctx, tx, mark) }, name)
				})
				return refused
			})
			if err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	foreign := func(tx pgx.Tx) error {
		return errors.Join(
			try("a foreign transaction's statement", func() { queueMark(tx, "foreign") }),
			try("a foreign transaction's statement of the platform", func() { postgres.QueueSQL(tx, insertMark, "foreign") }))
	}
	err = errors.Join(err, pgx.BeginFunc(t.Context(), marks.Pool(), foreign),
		marks.InTx(t.Context(), func(tx pgx.Tx) error { return pgx.BeginFunc(t.Context(), tx, foreign) }))
	if err != nil {
		t.Error(err)
	}
	nothingStays(t, marks)
}

// The rows of a queued statement are there after the next one that waits, see what was queued
// before it, and cost no round trip. Its error is that of any queued statement.
func TestQueuedRows(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	var trips int64
	const list = "SELECT name FROM marks ORDER BY name"
	for range 2 { // the first time its statements are prepared
		var after *[]string
		already := l.sent.Load()
		err := db.InTx(t.Context(), func(tx pgx.Tx) error {
			queueMark(tx, "one")
			marks := postgres.QueueMany(tx, queries{tx}.ListMarks, list)
			queueMark(tx, "two")
			err := queries{tx}.InsertMark(t.Context(), "three")
			if !slices.Equal(*marks, []string{"one"}) {
				t.Errorf("the rows are %v", *marks)
			}
			after = postgres.QueueMany(tx, queries{tx}.ListMarks, list)
			return err
		})
		trips = l.sent.Load() - already
		if err != nil || !slices.Equal(*after, []string{"one", "three", "two"}) {
			t.Errorf("after the commit %v: %v", *after, err)
		}
		if _, err := db.Exec(t.Context(), "DELETE FROM marks"); err != nil {
			t.Fatal(err)
		}
	}
	if trips != 2 {
		t.Errorf("%d round trips", trips)
	}
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
		postgres.QueueMany(tx, queries{tx}.ListMarks, "-- name: ListNothing :many\nSELECT name FROM nowhere")
		return queries{tx}.InsertMark(t.Context(), "four")
	})
	if queued, ok := errors.AsType[*postgres.QueuedError](err); !ok || !strings.HasPrefix(queued.Error(), "-- name: ListNothing") {
		t.Errorf("error %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a statement of the pool was queued")
		}
	}()
	_ = db.InTx(t.Context(), func(tx pgx.Tx) error {
		postgres.QueueMany(tx, queries{db}.ListMarks, "SELECT name FROM marks")
		return nil
	})
}
