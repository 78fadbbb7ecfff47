package postgres_test

import (
	"context"
	"errors"
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
`)}}

// counted is a pool of one connection, and how often it has sent something: each time is a round trip.
func counted(t *testing.T) (*pgxpool.Pool, *atomic.Int64) {
	t.Helper()
	db := pgtest.New(t, pgtest.Schema{Module: "marks", Migrations: schema})
	cfg, err := pgxpool.ParseConfig(db.URL("marks"))
	if err != nil {
		t.Fatal(err)
	}
	sent := &atomic.Int64{}
	cfg.MaxConns = 1
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return countingConn{conn, sent}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, sent
}

type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.sent.Add(1)
	return c.Conn.Write(b)
}

const (
	insertMark  = `INSERT INTO marks (name) VALUES ($1)`
	countMarks  = `SELECT count(*) FROM marks`
	insertAgain = `INSERT INTO marks (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name`
)

// What the statements of a transaction say they did is what they did, whichever of them waited, and COMMIT costs nothing.
func TestStatementsTravelTogether(t *testing.T) {
	pool, sent := counted(t)
	work := func(name string) (before, after int) {
		err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			if err := tx.QueryRow(t.Context(), countMarks).Scan(&before); err != nil { // with BEGIN
				return err
			}
			for _, n := range []string{name + "1", name + "2"} {
				if _, err := postgres.Later(tx).Exec(t.Context(), insertMark, n); err != nil {
					return err
				}
			}
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
			if _, err := postgres.Later(tx).Exec(t.Context(), insertMark, name+"4"); err != nil { // with COMMIT
				return err
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := pool.QueryRow(t.Context(), countMarks).Scan(&after); err != nil {
			t.Fatal(err)
		}
		return before, after
	}
	work("prepared ") // every statement is prepared once for a connection
	already := sent.Load()
	if before, after := work("counted "); before != 4 || after != 8 {
		t.Errorf("%d marks, then %d, want 4 and 8", before, after)
	}
	if trips := sent.Load() - already; trips != 4+1 { // and the count afterwards
		t.Errorf("8 statements took %d round trips, want 4", trips-1)
	}
}

// An error of a statement that nobody waited for comes with the next one or with the commit, and nothing of the transaction stays.
func TestALateError(t *testing.T) {
	pool, _ := counted(t)
	later := func(tx pgx.Tx, name string) {
		if _, err := postgres.Later(tx).Exec(t.Context(), insertMark, name); err != nil {
			t.Errorf("later: %v", err)
		}
	}
	for name, f := range map[string]func(tx pgx.Tx) error{
		"at the commit": func(tx pgx.Tx) error { later(tx, "good"); later(tx, "bad"); return nil },
		"at a row": func(tx pgx.Tx) error {
			later(tx, "bad")
			var n int
			return tx.QueryRow(t.Context(), countMarks).Scan(&n)
		},
		"at rows": func(tx pgx.Tx) error {
			later(tx, "bad")
			_, err := tx.Query(t.Context(), countMarks)
			return err
		},
		"at a statement": func(tx pgx.Tx) error {
			later(tx, "bad")
			_, err := tx.Exec(t.Context(), insertMark, "good")
			return err
		},
		"at a savepoint": func(tx pgx.Tx) error {
			later(tx, "bad")
			_, err := tx.Begin(t.Context())
			return err
		},
		"at a copy": func(tx pgx.Tx) error {
			later(tx, "bad")
			_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"marks"}, []string{"name"}, pgx.CopyFromRows([][]any{{"good"}}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := postgres.InTx(t.Context(), pool, f)
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "23514" || !strings.Contains(err.Error(), "INSERT INTO marks") {
				t.Errorf("error %v, want the check's, and which statement it was", err)
			}
			nothingStays(t, pool)
		})
	}
}

// An error that f hides does not commit half of its work.
func TestAHiddenError(t *testing.T) {
	pool, _ := counted(t)
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, _ = tx.Exec(t.Context(), insertMark, "good")
		_, _ = tx.Exec(t.Context(), insertMark, "bad")
		return nil
	})
	if !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Errorf("error %v, want ErrTxCommitRollback", err)
	}
	nothingStays(t, pool)
}

// A transaction that fails before it has begun takes what comes after it down, too.
func TestAnErrorBeforeTheBeginning(t *testing.T) {
	pool, _ := counted(t)
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, _ = tx.Exec(t.Context(), "SELECT nothing FROM nowhere")
		_, err := tx.Exec(t.Context(), insertMark, "good")
		return err
	})
	if err == nil {
		t.Error("a statement ran outside of its transaction")
	}
	nothingStays(t, pool)
}

// What fails in Go, or panics, is rolled back, and the connection serves the next one.
func TestRolledBack(t *testing.T) {
	pool, _ := counted(t)
	mine := errors.New("mine")
	insert := func(tx pgx.Tx) {
		if _, err := tx.Exec(t.Context(), insertMark, "good"); err != nil {
			t.Error(err)
		}
	}
	if err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { insert(tx); return mine }); !errors.Is(err, mine) {
		t.Errorf("error %v, want f's", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { insert(tx); panic("mine") })
	}()
	if err := postgres.InTx(t.Context(), pool, func(pgx.Tx) error { return nil }); err != nil {
		t.Errorf("a transaction that does nothing: %v", err)
	}
	nothingStays(t, pool)
}

func nothingStays(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var n int
	if err := pool.QueryRow(t.Context(), countMarks).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d marks stay (%v)", n, err)
	}
}
