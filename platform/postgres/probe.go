package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Probe checks whether a pool's server answers, on a connection of its own, which also carries what
// a process says of itself. In the pool its query would wait behind the module's: one locked table,
// and eight requests to it, would make a module unready that answers all others. An idle pool's
// last use, on the other hand, is too old.
type Probe struct {
	db *DB

	mu   sync.Mutex
	at   *here
	conn *pgconn.PgConn // nil before the first check, and after it was lost
}

// NewProbe returns a probe that has not connected yet.
func NewProbe(db *DB) *Probe { return &Probe{db: db} }

// Check pings the server, on a new connection if there is none or it has died, as after a restart
// of the server. To connect proves nothing: a pooler accepts clients without a server. It may take
// as long as a connection of the pool, through all hosts that the URL names.
func (p *Probe) Check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && p.at == p.db.home.Load() && p.ask(ctx) == nil {
		return nil
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	return p.ask(ctx)
}

// connect opens a new connection to the home, in place of the one that there is.
func (p *Probe) connect(ctx context.Context) (err error) {
	p.drop(ctx)
	p.at = p.db.home.Load()
	if p.conn, err = pgconn.ConnectConfig(ctx, &p.at.pool.Config().ConnConfig.Config); err != nil {
		p.conn = nil
	}
	return err
}

// Ask sends a statement with text parameters on the probe's connection, and returns its first row.
// It follows the data as a statement of the DB does.
func (p *Probe) Ask(ctx context.Context, sql string, args ...string) ([]string, error) {
	for {
		at, row, err := p.askOnce(ctx, sql, args)
		if again, err := p.db.again(ctx, at, err); !again {
			return row, err
		}
	}
}

func (p *Probe) askOnce(ctx context.Context, sql string, args []string) (at *here, row []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || p.conn.IsClosed() || p.at != p.db.home.Load() {
		if err := p.connect(ctx); err != nil {
			return p.at, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	result := p.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err == nil && len(result.Rows) > 0 {
		for _, value := range result.Rows[0] {
			row = append(row, string(value))
		}
	}
	return p.at, row, result.Err
}

// ask pings, and drops a connection that does not answer.
func (p *Probe) ask(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := p.conn.Ping(asking)
	if err != nil {
		p.drop(ctx)
	}
	return err
}

// Close closes the connection, after a check under way.
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
