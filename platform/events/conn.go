package events

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ownConn is a connection that one loop keeps to itself, so that requests which exhaust the pool never hold up delivery.
type ownConn struct {
	cfg  *pgx.ConnConfig
	conn *pgx.Conn
}

func newOwnConn(pool *pgxpool.Pool) *ownConn { return &ownConn{cfg: pool.Config().ConnConfig} }

// inTx runs f in a transaction, connecting first when there is no connection or it was lost. The transaction is rolled back
// when f fails without having committed it.
func (c *ownConn) inTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	if c.conn == nil || c.conn.IsClosed() {
		conn, err := pgx.ConnectConfig(ctx, c.cfg)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		c.conn = conn
	}
	return pgx.BeginFunc(ctx, c.conn, f)
}

func (c *ownConn) close(ctx context.Context) {
	if c.conn != nil {
		_ = c.conn.Close(context.WithoutCancel(ctx)) // the server ends the session either way
	}
}
