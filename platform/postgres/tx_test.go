package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	m.Run()
}

var schema = fstest.MapFS{"0001_marks.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE marks (name text PRIMARY KEY CHECK (name <> 'bad'));
CREATE TABLE twins (name text, UNIQUE (name) DEFERRABLE INITIALLY DEFERRED);
`)}}

// line counts what a connection sends, each time a round trip, and can lose what it is answered.
type line struct {
	net.Conn
	sent *atomic.Int64
	lost *atomic.Bool
}

func (l line) Write(b []byte) (int, error) {
	l.sent.Add(1)
	return l.Conn.Write(b)
}

func (l line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.lost.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// counted is a database on one connection, and the line that this is on.
func counted(t *testing.T) (*postgres.DB, line) {
	t.Helper()
	db := pgtest.New(t, pgtest.Schema{Module: "marks", Migrations: schema})
	cfg, err := pgxpool.ParseConfig(db.URL("marks"))
	if err != nil {
		t.Fatal(err)
	}
	l := line{sent: &atomic.Int64{}, lost: &atomic.Bool{}}
	cfg.MaxConns = 1
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return line{conn, l.sent, l.lost}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &postgres.DB{Pool: pool, Module: "marks"}, l
}

const (
	insertMark  = "-- name: InsertMark :exec\nINSERT INTO marks (name) VALUES ($1)"
	insertTwin  = "-- name: InsertTwin :exec\nINSERT INTO twins (name) VALUES ($1)"
	countMarks  = `SELECT count(*) FROM marks`
	insertAgain = `INSERT INTO marks (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name`
)

// queries are made as sqlc makes them.
type queries struct {
	db interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
}

func (q queries) InsertMark(ctx context.Context, name string) error {
	_, err := q.db.Exec(ctx, insertMark, name)
	return err
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

// What the statements of a transaction say they did is what they did, whichever of them waited, and
// COMMIT costs nothing.
func TestStatementsTravelTogether(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	work := func(name string) (before, after int) {
		err := db.InTx(t.Context(), func(tx pgx.Tx) error {
			if err := tx.QueryRow(t.Context(), countMarks).Scan(&before); err != nil { // with BEGIN
				return err
			}
			queueMark(tx, name+"1")
			queueMark(tx, name+"2")
			rows, err := tx.Query(t.Context(), insertAgain, name+"1") // sees both
			if err != nil {
				return err
			}
			if again, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(again) != 0 {
				t.Errorf("inserted again: %v, %v", again, err)
			}
			tag, err := tx.Exec(t.Context(), insertMark, name+"3")
			if tag.RowsAffected() != 1 {
				t.Errorf("a statement that was waited for reports %q", tag)
			}
			queueMark(tx, name+"4") // with COMMIT
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(t.Context(), countMarks).Scan(&after); err != nil {
			t.Fatal(err)
		}
		return before, after
	}
	work("prepared ") // every statement is prepared once for a connection
	already := l.sent.Load()
	if before, after := work("counted "); before != 4 || after != 8 {
		t.Errorf("%d marks, then %d, want 4 and 8", before, after)
	}
	if trips := l.sent.Load() - already; trips != 4+1 { // and the count afterwards
		t.Errorf("8 statements took %d round trips, want 4", trips-1)
	}
}

// An error of a statement that was only queued comes with the next one that waits, or with the
// commit, and says which it was, whatever f makes of it. Nothing of the transaction stays.
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
			_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"marks"}, []string{"name"}, pgx.CopyFromRows([][]any{{"other"}}))
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
				err = errors.New("out of stock")
			}
			return err
		},
		"hides it": func(error) error { return nil },
	}
	for why, fail := range fail {
		for where, wait := range wait {
			for what, treat := range treat {
				t.Run(fmt.Sprintf("it %s at %s and f %s", why, where, what), func(t *testing.T) {
					basket := &basket{}
					err := db.InTx(t.Context(), func(tx pgx.Tx) error {
						queueMark(tx, "good")
						if err := postgres.Carry(db, tx, basket, "carried"); err != nil {
							t.Error(err)
						}
						fail(tx)
						return treat(wait(tx))
					})
					queued, ok := errors.AsType[*postgres.QueuedError](err)
					if !ok || !strings.HasPrefix(queued.Error(), "-- name: Insert") || strings.Contains(queued.Error(), "\n") {
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

// A statement that is queued is one of its own transaction. Any other is refused, and not carried
// out.
func TestOnlyStatementsOfTheirTransactionAreQueued(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Schema{Module: "marks", Migrations: schema})
	marks := db.Module(t, "marks")
	inTx := func(t *testing.T, f func(tx pgx.Tx)) {
		t.Helper()
		if err := marks.InTx(t.Context(), func(tx pgx.Tx) error { f(tx); return nil }); err != nil {
			t.Error(err)
		}
	}
	for name, queue := range map[string]func(t *testing.T){
		"a statement of the pool": func(t *testing.T) {
			inTx(t, func(tx pgx.Tx) { postgres.Queue(tx, queries{marks}.InsertMark, "pool") })
		},
		"a statement of another transaction": func(t *testing.T) {
			inTx(t, func(other pgx.Tx) {
				inTx(t, func(tx pgx.Tx) { postgres.Queue(tx, queries{other}.InsertMark, "another") })
			})
		},
		"a statement of another that has begun": func(t *testing.T) {
			inTx(t, func(other pgx.Tx) {
				if _, err := other.Exec(t.Context(), "SELECT 1"); err != nil {
					t.Error(err)
				}
				defer func() { // and commits
					if recover() == nil {
						t.Error("it was queued")
					}
					panic("mine")
				}()
				inTx(t, func(tx pgx.Tx) { postgres.Queue(tx, queries{other}.InsertMark, "another") })
			})
		},
		"no statement": func(t *testing.T) {
			inTx(t, func(tx pgx.Tx) { postgres.Queue(tx, func(context.Context, string) error { return nil }, "none") })
		},
		"two": func(t *testing.T) {
			inTx(t, func(tx pgx.Tx) {
				postgres.Queue(tx, func(ctx context.Context, name string) error {
					_ = queries{tx}.InsertMark(ctx, name)
					return queries{tx}.InsertMark(ctx, name)
				}, "two")
			})
		},
		"one that fails": func(t *testing.T) {
			inTx(t, func(tx pgx.Tx) {
				postgres.Queue(tx, func(ctx context.Context, name string) error {
					_ = queries{tx}.InsertMark(ctx, name)
					return errors.New("mine")
				}, "fails")
			})
		},
		"in pgx's own transaction": func(t *testing.T) {
			_ = pgx.BeginFunc(t.Context(), marks, func(tx pgx.Tx) error {
				postgres.Queue(tx, queries{tx}.InsertMark, "pgx")
				return nil
			})
		},
		"of the platform in pgx's own": func(t *testing.T) {
			_ = pgx.BeginFunc(t.Context(), marks, func(tx pgx.Tx) error { postgres.QueueSQL(tx, insertMark, "pgx"); return nil })
		},
		"in a savepoint": func(t *testing.T) {
			inTx(t, func(tx pgx.Tx) {
				_ = pgx.BeginFunc(t.Context(), tx, func(tx pgx.Tx) error {
					postgres.Queue(tx, queries{tx}.InsertMark, "savepoint")
					return nil
				})
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("it was queued")
					}
				}()
				queue(t)
			}()
			nothingStays(t, marks)
		})
	}
}

// An error that f hides does not commit half of its work.
func TestAHiddenError(t *testing.T) {
	t.Parallel()
	db, _ := counted(t)
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
		_, _ = tx.Exec(t.Context(), insertMark, "good")
		_, _ = tx.Exec(t.Context(), insertMark, "bad")
		queueMark(tx, "other")
		return nil
	})
	if queued, ok := errors.AsType[*postgres.QueuedError](err); !errors.Is(err, pgx.ErrTxCommitRollback) || ok {
		t.Errorf("error %v of %v, want ErrTxCommitRollback", err, queued)
	}
	nothingStays(t, db)
}

// A transaction that fails before it has begun takes what comes after it down, too.
func TestAnErrorBeforeTheBeginning(t *testing.T) {
	t.Parallel()
	db, _ := counted(t)
	for name, last := range map[string]func(tx pgx.Tx) error{
		"a statement": func(tx pgx.Tx) error { return queries{tx}.InsertMark(t.Context(), "good") },
		"the commit":  func(tx pgx.Tx) error { queueMark(tx, "good"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			err := db.InTx(t.Context(), func(tx pgx.Tx) error {
				_, _ = tx.Exec(t.Context(), "SELECT nothing FROM nowhere")
				return last(tx)
			})
			if err == nil {
				t.Error("a statement ran outside of its transaction")
			}
			nothingStays(t, db)
		})
	}
}

// What fails in Go, or panics, is rolled back, and the connection serves the next one.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	db, _ := counted(t)
	mine := errors.New("mine")
	insert := func(tx pgx.Tx) {
		queueMark(tx, "queued")
		if _, err := tx.Exec(t.Context(), insertMark, "good"); err != nil {
			t.Error(err)
		}
	}
	if err := db.InTx(t.Context(), func(tx pgx.Tx) error { insert(tx); return mine }); !errors.Is(err, mine) {
		t.Errorf("error %v, want f's", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.InTx(t.Context(), func(tx pgx.Tx) error { insert(tx); panic("mine") })
	}()
	if err := db.InTx(t.Context(), func(pgx.Tx) error { return nil }); err != nil {
		t.Errorf("a transaction that does nothing: %v", err)
	}
	nothingStays(t, db)
}

func nothingStays(t *testing.T, db *postgres.DB) {
	t.Helper()
	var n int
	if err := db.QueryRow(t.Context(), countMarks).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d marks stay (%v)", n, err)
	}
}
