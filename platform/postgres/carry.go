package postgres

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Carrier writes the items that a transaction carries to its commit, all in one statement.
type Carrier[T any] struct {
	// Insert returns the statement that is sent with the commit.
	Insert func(items []T) (sql string, args []any)
	// Ended is called when the transaction is over. If the connection was lost, so that the outcome
	// is unknown, committed is false. It must not block.
	Ended func(items []T, committed bool)
}

// Carry adds an item to tx, which c writes with the commit. It fails if db did not begin tx.
func Carry[T any](db *DB, tx pgx.Tx, c *Carrier[T], item T) error {
	p, ok := tx.(*pipeline)
	if !ok || p.db != db {
		return fmt.Errorf("the transaction was not begun by the database of %s", db.Module)
	}
	for _, l := range p.loads {
		if l, ok := l.(*load[T]); ok && l.by == c {
			l.items = append(l.items, item)
			return nil
		}
	}
	p.loads = append(p.loads, &load[T]{by: c, items: []T{item}})
	return nil
}

// Uncarry removes the transaction's items of c for which drop returns true.
func Uncarry[T any](tx pgx.Tx, c *Carrier[T], drop func(T) bool) {
	for _, l := range of(tx).loads {
		if l, ok := l.(*load[T]); ok && l.by == c {
			l.items = slices.DeleteFunc(l.items, drop)
		}
	}
}

// load holds a transaction's items for one carrier.
type load[T any] struct {
	by    *Carrier[T]
	items []T
}

func (l *load[T]) queue(b *pgx.Batch) {
	sql, args := l.by.Insert(l.items)
	b.Queue(sql, args...)
}

func (l *load[T]) ended(committed bool) { l.by.Ended(l.items, committed) }
