package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// txLimit bounds one transaction, so that a loop stops soon after its context ends.
const txLimit = 30 * time.Second

// errNoConnection means that the database was not reached, or was lost in mid-transaction.
var errNoConnection = errors.New("no connection to the database")

// errUnreachable means that no new connection could be made, or that the database has not answered
// on the existing one. The next try would wait as long and fail as well.
var errUnreachable = fmt.Errorf("%w: it cannot be reached", errNoConnection)

// reachAgain is the pause between two tries to reach the database.
const reachAgain = 250 * time.Millisecond

// ownConn is a connection reserved for the delivery of one module, so that requests which exhaust
// the pool do not delay it. Loops that share it use it one at a time.
type ownConn struct {
	db    *postgres.DB
	limit time.Duration // of one transaction
	mu    sync.Mutex
	conn  *pgx.Conn
}

func newOwnConn(db *postgres.DB) *ownConn { return &ownConn{db: db, limit: txLimit} }

// inTx runs f in a transaction, and rolls it back when f fails. It connects first unless a
// connection is open. The time limit begins when the connection is free. When ctx ends, connecting
// is interrupted, and a transaction is not. When the module's data has moved, it connects to its
// new home and runs f again.
func (c *ownConn) inTx(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if err := c.tryTx(ctx, f); !errors.Is(err, postgres.ErrMoved) {
			return err
		}
	}
}

func (c *ownConn) tryTx(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
	defer cancel()
	err := c.db.InTxOn(ctx, c.conn, func(tx pgx.Tx) error { return f(ctx, tx) })
	switch {
	case errors.Is(err, postgres.ErrMoving):
		return fmt.Errorf("%w: %w", errUnreachable, err)
	case err == nil || errors.Is(err, postgres.ErrMoved) || !c.conn.IsClosed():
		return err
	case ctx.Err() == nil: // the error of a lost connection varies, and f may have hidden it
		return fmt.Errorf("%w: %w", errNoConnection, err)
	case errors.Is(err, postgres.ErrNoAnswer): // the time limit closes the connection, too
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return err
}

// connect opens a connection unless one is open.
func (c *ownConn) connect(ctx context.Context) error {
	if c.conn != nil && !c.conn.IsClosed() {
		return nil
	}
	ctx, cancel := worker.UntilStop(ctx)
	defer cancel()
	ctx, release := context.WithTimeout(ctx, c.limit)
	defer release()
	conn, err := c.db.Connect(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	c.conn = conn
	return nil
}

// reach returns when the database answers, or when ctx ends.
func (c *ownConn) reach(ctx context.Context) {
	for !c.answers(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reachAgain):
		}
	}
}

// answers pings the server, because a pooler accepts clients without one.
func (c *ownConn) answers(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connect(ctx) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	return c.conn.Ping(ctx) == nil
}

func (c *ownConn) close(ctx context.Context) {
	if c.conn != nil {
		_ = c.conn.Close(context.WithoutCancel(ctx)) // it is gone either way
	}
}
