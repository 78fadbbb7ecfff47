package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

// Group runs concurrent calls in a shared transaction (group commit), for the statements and the
// disk syncs of one. A call that comes alone does not wait for others, and one that is audited
// never shares a transaction.
//
// The calls are independent: each gets its own result, a transaction that fails is run again for
// each call alone, and a caller that leaves does not end what it began.
type Group[In, Out any] struct {
	db    *DB
	run   func(ctx context.Context, tx pgx.Tx, calls []In) ([]Result[Out], error)
	limit time.Duration // of one transaction

	mu      sync.Mutex
	waiting []call[In, Out]
	running int
}

// Result is the outcome of one call.
type Result[Out any] struct {
	Value Out
	Err   error
}

type call[In, Out any] struct {
	ctx  context.Context //nolint:containedctx // the caller's
	in   In
	done chan Result[Out]
}

const (
	groupSize    = 64               // calls per transaction
	groupsAtOnce = 2                // while one waits for the disk, the other collects
	groupLimit   = 10 * time.Second // per transaction
)

// NewGroup returns a group of transactions of run, which returns a result per call, in their order.
// A result's error concerns that call alone and undoes nothing; run's own rolls the transaction
// back.
func NewGroup[In, Out any](
	db *DB, run func(ctx context.Context, tx pgx.Tx, calls []In) ([]Result[Out], error),
) *Group[In, Out] {
	return &Group[In, Out]{db: db, run: run, limit: groupLimit}
}

// Do returns the call's result once its transaction is committed. When ctx ends first, it returns
// ctx's error, and the call may be committed all the same.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	c := call[In, Out]{ctx, in, make(chan Result[Out], 1)}
	if actionOf(ctx) != nil {
		go g.settle([]call[In, Out]{c}) // alone, so that its row of audit is written if it has an effect
	} else {
		g.join(c)
	}
	select {
	case r := <-c.done:
		return r.Value, r.Err
	case <-ctx.Done():
		var none Out
		return none, ctx.Err()
	}
}

func (g *Group[In, Out]) join(c call[In, Out]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, c)
	if g.running < groupsAtOnce {
		g.running++
		go g.work()
	}
}

// work runs the waiting calls until there are none.
func (g *Group[In, Out]) work() {
	for {
		g.mu.Lock()
		calls := g.waiting[:min(len(g.waiting), groupSize)]
		g.waiting = g.waiting[len(calls):]
		if len(calls) == 0 {
			g.running--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.settle(calls)
	}
}

// settle runs the calls whose callers have not left, and sends them their results.
func (g *Group[In, Out]) settle(calls []call[In, Out]) {
	calls = slices.DeleteFunc(calls, func(c call[In, Out]) bool { return c.ctx.Err() != nil })
	if len(calls) == 0 {
		return
	}
	results, err := g.commit(calls)
	for i, c := range calls {
		switch {
		case err == nil:
			c.done <- results[i]
		case len(calls) == 1 || errors.Is(err, ErrNoAnswer): // each alone would wait as long
			c.done <- Result[Out]{Err: err}
		default:
			g.settle(calls[i : i+1])
		}
	}
}

// commit runs the calls in one transaction, whose spans belong to the first caller's trace.
func (g *Group[In, Out]) commit(calls []call[In, Out]) (results []Result[Out], err error) {
	defer process.Recover(&err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(calls[0].ctx), g.limit)
	defer cancel()
	in := make([]In, len(calls))
	for i, c := range calls {
		in[i] = c.in
	}
	begun := false
	err = g.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		begun = true
		results, err = g.run(ctx, tx, in)
		if err == nil && len(results) != len(in) {
			panic("postgres: a call of a group has no result")
		}
		if err == nil && len(results) == 1 && results[0].Err != nil {
			of(tx).action = nil // a call that is refused changes nothing
		}
		return err
	})
	if !begun {
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return results, err
}
