package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/wire"
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

// line counts the round trips of a connection, and can lose the answers.
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

// counted returns a database with one connection, and its line.
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

// Statements report and do the same whether they wait or are queued, and COMMIT costs no round
// trip.
func TestStatementsShareRoundTrips(t *testing.T) {
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
				t.Errorf("a statement that waits reports %q", tag)
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
	if trips := l.sent.Load() - already; trips != 4+1 { // and the last count
		t.Errorf("8 statements took %d round trips, want 4", trips-1)
	}
}

// A transaction in which f hides an error is not committed.
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

// When a transaction fails to begin, its later statements fail, too.
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

// An error or a panic of f rolls back, and the connection can be used again.
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

// The server's process is frozen, and its kernel still acknowledges.
func TestARollbackEnds(t *testing.T) {
	t.Parallel()
	cfg, err := pgxpool.ParseConfig(pgtest.New(t, pgtest.Schema{Module: "marks", Migrations: schema}).URL("marks"))
	if err != nil {
		t.Fatal(err)
	}
	w := wire.To(t, net.JoinHostPort(cfg.ConnConfig.Host, fmt.Sprint(cfg.ConnConfig.Port)))
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.Address())
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	db := &postgres.DB{Pool: pool, Module: "marks"}
	refused := errors.New("refused")
	thaw, began := func() {}, time.Now()
	err = db.InTx(t.Context(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT 1"); err != nil {
			return err
		}
		thaw = w.Freeze()
		return refused
	})
	thaw()
	if took := time.Since(began); !errors.Is(err, refused) || took > 20*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}
