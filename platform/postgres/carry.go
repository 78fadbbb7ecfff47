package postgres

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Carrier writes what a transaction carries to its commit, all items in one statement. Each value
// is a carrier of its own.
type Carrier[T any] struct {
	// Insert makes the statement that is sent with the commit.
	Insert func(items []T) (sql string, args []any)
	// Ended is called when the transaction is over. An item that was not committed, or of which
	// that is not known because the connection was lost, is not committed. It must not block.
	Ended func(items []T, committed bool)
}

// Carry gives the transaction an item, which the carrier writes with the commit. A transaction that
// the DB did not begin is refused.
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

// Uncarry takes back the items that drop names, of those that the transaction carries for c.
func Uncarry[T any](tx pgx.Tx, c *Carrier[T], drop func(T) bool) {
	for _, l := range of(tx).loads {
		if l, ok := l.(*load[T]); ok && l.by == c {
			l.items = slices.DeleteFunc(l.items, drop)
		}
	}
}

// load is what a transaction carries for one carrier.
type load[T any] struct {
	by    *Carrier[T]
	items []T
}

func (l *load[T]) queue(b *pgx.Batch) {
	sql, args := l.by.Insert(l.items)
	b.Queue(sql, args...)
}

func (l *load[T]) ended(committed bool) { l.by.Ended(l.items, committed) }
