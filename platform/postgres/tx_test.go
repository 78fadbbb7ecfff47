package postgres_test

import (
	"context"
	"errors"
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

const (
	insertMark  = "-- name: InsertMark :exec\nINSERT INTO marks (name) VALUES ($1)"
	insertTwin  = "-- name: InsertTwin :exec\nINSERT INTO twins (name) VALUES ($1)"
	countMarks  = `SELECT count(*) FROM marks`
	insertAgain = `INSERT INTO marks (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name`
)

// newMarks returns a database with the schema of the module marks.
func newMarks(t testing.TB) *pgtest.DB {
	t.Helper()
	return pgtest.New(t, pgtest.Schema{Module: "marks", Migrations: schema})
}

// open opens the module marks at an address, until the test ends.
func open(t *testing.T, address string, conns int32) *postgres.DB {
	t.Helper()
	marks, err := postgres.Open(t.Context(), "marks", address, conns, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(marks.Close)
	return marks
}

func marksOf(t *testing.T, db *postgres.DB) (n int) {
	t.Helper()
	return pgtest.Count(t, db, countMarks)
}

func nothingStays(t *testing.T, db *postgres.DB) {
	t.Helper()
	if n := marksOf(t, db); n != 0 {
		t.Errorf("%d marks stay", n)
	}
}

// A burst finds the connections open: to make one may take longer than a caller waits.
func TestThePoolKeepsItsSize(t *testing.T) {
	t.Parallel()
	pool := open(t, newMarks(t).URL("marks"), 4).Pool()
	pgtest.Until(t, "every connection is open", func() bool { return pool.Stat().IdleConns() == 4 })
	if pool.Config().MaxConnLifetimeJitter == 0 {
		t.Error("all of them end at the same moment")
	}
}

// dialing returns a database with one connection, which is dialled by the function.
func dialing(t *testing.T, dial func(ctx context.Context, network, server string) (net.Conn, error)) *postgres.DB {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(newMarks(t).URL("marks"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 1
	cfg.ConnConfig.DialFunc = dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return postgres.NewDB("marks", pool)
}

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
	l := line{sent: &atomic.Int64{}, lost: &atomic.Bool{}}
	return dialing(t, func(ctx context.Context, network, server string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, server)
		return line{conn, l.sent, l.lost}, err
	}), l
}

// Statements report and do the same whether they wait or are queued, and COMMIT costs no round
// trip.
func TestStatementsShareRoundTrips(t *testing.T) {
	t.Parallel()
	db, l := counted(t)
	work := func(name string) (before int) {
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
		return before
	}
	work("prepared ") // every statement is prepared once for a connection
	already := l.sent.Load()
	before, trips := work("counted "), l.sent.Load()-already
	if after := marksOf(t, db); before != 4 || after != 8 {
		t.Errorf("%d marks, then %d, want 4 and 8", before, after)
	}
	if trips != 4 {
		t.Errorf("8 statements took %d round trips, want 4", trips)
	}
}

// The server's process is frozen, and its kernel still acknowledges.
func TestARollbackEnds(t *testing.T) {
	t.Parallel()
	var w *wire.Wire
	db := dialing(t, func(ctx context.Context, network, server string) (net.Conn, error) {
		if w == nil {
			w = wire.To(t, server)
		}
		return new(net.Dialer).DialContext(ctx, network, w.Address())
	})
	refused := errors.New("refused")
	thaw, began := func() {}, time.Now()
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
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
