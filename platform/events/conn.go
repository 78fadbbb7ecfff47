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

// txLimit bounds one transaction, so that a loop that is told to stop does stop.
const txLimit = 30 * time.Second

// errNoConnection says that the database was not reached, or was lost in mid-transaction: no event is to blame for that.
var errNoConnection = errors.New("no connection to the database")

// errUnreachable says that a new connection could not be made, or that the database has not
// answered on the one there is. The next try would wait as long and fail as well.
var errUnreachable = fmt.Errorf("%w: it cannot be reached", errNoConnection)

// reachAgain is the pause between two tries to reach a database that is away.
const reachAgain = 250 * time.Millisecond

// ownConn is a connection that the delivery of one module keeps to itself, so that requests which exhaust the pool never hold it
// up. Loops that share one take turns.
type ownConn struct {
	db    *postgres.DB
	limit time.Duration // of one transaction
	mu    sync.Mutex
	conn  *pgx.Conn
}

func newOwnConn(db *postgres.DB) *ownConn { return &ownConn{db: db, limit: txLimit} }

// inTx runs f in a transaction, connecting first when there is no connection or it was lost. The
// transaction is rolled back when f fails. It has a time limit of its own, which begins when the
// connection is free. When ctx ends, connecting is interrupted, and a transaction is not.
func (c *ownConn) inTx(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
	defer cancel()
	err := c.db.InTxOn(ctx, c.conn, func(tx pgx.Tx) error { return f(ctx, tx) })
	switch {
	case err == nil || !c.conn.IsClosed():
		return err
	case ctx.Err() == nil: // what a lost connection looks like depends on the moment, and f may have hidden it
		return fmt.Errorf("%w: %w", errNoConnection, err)
	case errors.Is(err, postgres.ErrNoAnswer): // the limit closes the connection, too
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return err
}

// connect makes a connection when there is none or it was lost.
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

// answers asks the server, because a pooler lets its clients in without it.
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
