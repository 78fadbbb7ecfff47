package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// InTx runs f in a transaction, commits when f returns nil, and rolls back otherwise. It costs no round trips of its own: BEGIN travels
// with the first statement, and COMMIT with whatever was left for later.
//
//	BEGIN, SELECT … ──▶ one round trip      Query, QueryRow, Exec and SendBatch wait for their answer, as ever
//	INSERT, INSERT                          sent with Later: nobody waits
//	UPDATE … RETURNING ─▶ one round trip    takes the two with it, and sees what they wrote
//	INSERT, COMMIT ────▶ one round trip
//
// On one machine a round trip costs as much as the statement in it, and between two machines much more.
func InTx(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return InTxOn(ctx, c.Conn(), f) })
}

// InTxOn is InTx on a connection that is not from a pool.
func InTxOn(ctx context.Context, conn *pgx.Conn, f func(tx pgx.Tx) error) error {
	p := &pipeline{conn: conn}
	defer func() { _ = p.Rollback(context.WithoutCancel(ctx)) }() // nothing is left to roll back after a commit
	if err := f(p); err != nil {
		return err
	}
	return p.Commit(ctx)
}

// Later is tx for statements whose results nobody looks at: Exec answers at once, with an empty tag, and the statement is sent with the next
// one that has to wait, or with the commit, and its error, which names the statement, comes from there. Use it where only success is of
// interest, and never where rows are counted.
func Later(tx pgx.Tx) pgx.Tx {
	if p, ok := tx.(*pipeline); ok {
		return later{p}
	}
	return tx // a transaction that InTx did not begin
}

type later struct{ *pipeline }

func (l later) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	l.queued.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// pipeline is a transaction that begins with its first statement.
type pipeline struct {
	pgx.Tx // nil before it has begun
	conn   *pgx.Conn
	queued pgx.Batch // what nobody waits for
	over   bool
}

// SendBatch sends what is queued ahead of the batch. An error of any of it is the error of everything behind.
func (p *pipeline) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	all := &pgx.Batch{}
	switch {
	case p.Tx == nil:
		// Whatever the session's defaults are.
		all.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	case p.conn.PgConn().TxStatus() == idle: // it failed before it began, and f went on: nothing may be done outside of it
		return pgx.FailedBatchResults(b, pgx.ErrTxClosed)
	}
	all.QueuedQueries = append(all.QueuedQueries, p.queued.QueuedQueries...)
	ahead := all.QueuedQueries
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	p.queued = pgx.Batch{}
	results := p.conn.SendBatch(ctx, all)
	if p.Tx == nil {
		p.Tx = results.Tx()
	}
	for _, q := range ahead {
		if _, err := results.Exec(); err != nil {
			return pgx.FailedBatchResults(b, fmt.Errorf("%s: %w", firstLine(q.SQL), end(results, err)))
		}
	}
	return results
}

// idle is the status of a connection without a transaction (PostgreSQL's protocol, ReadyForQuery).
const idle = 'I'

// firstLine tells which statement it was: sqlc begins each with its name.
func firstLine(sql string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(sql), "\n")
	return line
}

func (p *pipeline) send(ctx context.Context, sql string, args []any) pgx.BatchResults {
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	return p.SendBatch(ctx, b)
}

func (p *pipeline) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results := p.send(ctx, sql, args)
	tag, err := results.Exec()
	return tag, end(results, err)
}

func (p *pipeline) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	results := p.send(ctx, sql, args)
	return row{results.QueryRow(), results}
}

func (p *pipeline) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results := p.send(ctx, sql, args)
	answer, err := results.Query()
	if err != nil {
		return answer, end(results, err)
	}
	return &rows{Rows: answer, results: results}, nil
}

// CopyFrom sends what is queued first, as everything does that waits.
func (p *pipeline) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	if err := p.flush(ctx); err != nil {
		return 0, err
	}
	return p.Tx.CopyFrom(ctx, table, columns, source)
}

// Begin sets a savepoint.
func (p *pipeline) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := p.flush(ctx); err != nil {
		return nil, err
	}
	return p.Tx.Begin(ctx)
}

func (p *pipeline) flush(ctx context.Context) error { return p.SendBatch(ctx, &pgx.Batch{}).Close() }

func (p *pipeline) Conn() *pgx.Conn { return p.conn }

// Commit sends what is queued and the commit in one round trip.
func (p *pipeline) Commit(ctx context.Context) error {
	if p.Tx == nil && p.queued.Len() == 0 {
		return nil // nothing was asked for
	}
	tag, err := p.Exec(ctx, "commit")
	if err != nil {
		return err
	}
	p.over = true
	if tag.String() == "ROLLBACK" { // a statement had failed, and f went on
		return pgx.ErrTxCommitRollback
	}
	return nil
}

func (p *pipeline) Rollback(ctx context.Context) error {
	if p.Tx == nil || p.over {
		return nil
	}
	p.over = true
	return p.Tx.Rollback(ctx)
}

// row and rows end the batch whose last answer they are.
type row struct {
	pgx.Row
	results pgx.BatchResults
}

func (r row) Scan(dest ...any) error { return end(r.results, r.Row.Scan(dest...)) }

type rows struct {
	pgx.Rows
	results pgx.BatchResults
}

func (r *rows) Close() {
	r.Rows.Close()
	_ = r.results.Close() // its error, if any, is the rows'
}

// end closes the results, which may say only now what went wrong.
func end(results pgx.BatchResults, err error) error {
	if closeErr := results.Close(); err == nil {
		return closeErr
	}
	return err
}
