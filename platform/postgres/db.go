package postgres

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/share"
)

// DB is the database of one module: a pool of traced connections on its role, and its transactions.
// It follows the module's data to another database (home.go).
type DB struct {
	Module string
	Side   *share.Side // of the process in the module's work; nil outside of a process that serves it

	url     string
	home    atomic.Pointer[here]
	other   atomic.Pointer[place] // nil while no other is known
	opening sync.Mutex
	apart   atomic.Bool // another is known, and cannot be opened
	finding sync.Mutex
	search  *search // nil while no statement waits
}

// NewDB returns the database of a pool, which it does not leave.
func NewDB(module string, pool *pgxpool.Pool) *DB {
	db := &DB{Module: module}
	db.home.Store(&here{place: &place{pool: pool}})
	return db
}

// Pool returns the pool of the database that is the home now.
func (db *DB) Pool() *pgxpool.Pool { return db.home.Load().pool }

// Close closes all connections.
func (db *DB) Close() {
	db.home.Load().pool.Close()
	if other := db.other.Load(); other != nil {
		other.pool.Close()
	}
}

// Exec runs a statement without a result.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	for {
		at := db.home.Load()
		tag, err := at.exec(ctx, sql, args)
		if again, err := db.again(ctx, at, err); !again {
			return tag, err
		}
	}
}

// Query runs a query.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	for {
		at := db.home.Load()
		rows, err := at.query(ctx, sql, args)
		first := err == nil && rows.Next()
		if err == nil {
			err = rows.Err()
		}
		if again, err := db.again(ctx, at, err); !again {
			return &begunRows{Rows: rows, first: first}, err
		}
	}
}

// QueryRow runs a query for its first row.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := db.Query(ctx, sql, args...)
	return firstRow{rows, err}
}
