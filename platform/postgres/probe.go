package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Probe asks whether the server of a pool answers, on a connection that is not the pool's. In the
// pool its question would wait behind the module's own: one locked table, and sixteen requests to
// it, would make a module unready that answers all others. What the pool's last use said is no
// answer either, because an idle module has no recent use.
type Probe struct {
	cfg *pgconn.Config // of the pool's connections, so that what is judged is what they would meet

	mu   sync.Mutex
	conn *pgconn.PgConn // nil before the first question, and after it was lost
}

// NewProbe returns a probe that has not connected yet.
func NewProbe(pool *pgxpool.Pool) *Probe { return &Probe{cfg: &pool.Config().ConnConfig.Config} }

// Check asks on the connection that there is, and on a new one when there is none or it has died,
// as a restarted server's have. To be let in is no answer: a pooler lets its clients in without the
// server. It may take as long as a connection of the pool, through all hosts that the URL names.
func (p *Probe) Check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && p.ask(ctx) == nil {
		return nil
	}
	conn, err := pgconn.ConnectConfig(ctx, p.cfg)
	if err != nil {
		return err
	}
	p.conn = conn
	return p.ask(ctx)
}

// ask drops a connection that gives no answer.
func (p *Probe) ask(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := p.conn.Ping(asking)
	if err != nil {
		p.drop(ctx)
	}
	return err
}

// Close waits for a check under way.
func (p *Probe) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(context.Background())
}

func (p *Probe) drop(ctx context.Context) {
	if p.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_ = p.conn.Close(ctx) // it is gone either way
	p.conn = nil
}
