package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/postgres"
)

// txLimit bounds one transaction, so that a loop that is told to stop does stop.
const txLimit = 30 * time.Second

// errNoConnection says that the database was not reached, or was lost in mid-transaction: no event is to blame for that.
var errNoConnection = errors.New("no connection to the database")

// errUnreachable says that a new connection could not be made. The next try would wait as long and
// fail as well.
var errUnreachable = fmt.Errorf("%w: it cannot be reached", errNoConnection)

// reachAgain is the pause between two tries to reach a database that is away.
const reachAgain = 250 * time.Millisecond

// ownConn is a connection that the delivery of one module keeps to itself, so that requests which exhaust the pool never hold it
// up. Loops that share one take turns.
type ownConn struct {
	cfg   *pgx.ConnConfig
	limit time.Duration // of one transaction
	mu    sync.Mutex
	conn  *pgx.Conn
}

func newOwnConn(pool *pgxpool.Pool) *ownConn {
	return &ownConn{cfg: pool.Config().ConnConfig, limit: txLimit}
}

// inTx runs f in a transaction, connecting first when there is no connection or it was lost. The transaction is rolled back
// when f fails. It has a time limit of its own, which begins when the connection is free, and it is not interrupted when ctx ends.
func (c *ownConn) inTx(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
	defer cancel()
	if c.conn == nil || c.conn.IsClosed() {
		conn, err := pgx.ConnectConfig(ctx, c.cfg)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnreachable, err)
		}
		c.conn = conn
	}
	err := postgres.InTxOn(ctx, c.conn, func(tx pgx.Tx) error { return f(ctx, tx) })
	// What a lost connection looks like depends on the moment, and f may have hidden it. The limit closes the connection, too.
	if err != nil && c.conn.IsClosed() && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errNoConnection, err)
	}
	return err
}

// reach returns when the database can be reached, or when ctx ends.
func (c *ownConn) reach(ctx context.Context) {
	nothing := func(context.Context, pgx.Tx) error { return nil }
	for errors.Is(c.inTx(ctx, nothing), errUnreachable) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reachAgain):
		}
	}
}

func (c *ownConn) close(ctx context.Context) {
	if c.conn != nil {
		_ = c.conn.Close(context.WithoutCancel(ctx)) // it is gone either way
	}
}
