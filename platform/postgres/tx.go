package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// InTx runs f in a transaction, commits when f returns nil, and rolls back otherwise. It costs no
// round trips of its own: BEGIN is sent with the first statement, and COMMIT with what is queued.
//
//	BEGIN, SELECT … ──▶ one round trip      Query, QueryRow, Exec and SendBatch wait for an answer
//	INSERT, INSERT                          by Queue, which does not wait
//	UPDATE … RETURNING ─▶ one round trip    sends the two first, and sees what they wrote
//	INSERT, COMMIT ────▶ one round trip
//
// A round trip costs as much as its statement on one machine, and much more between two.
//
// It runs f again when the data has moved, so f must leave nothing behind that this would double.
func (db *DB) InTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	for {
		at := db.home.Load()
		err := at.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return db.inTx(ctx, c.Conn(), f) })
		if again, err := db.again(ctx, at, err); !again {
			return err
		}
	}
}

// InTxOn is InTx on a connection of Connect. When the data has moved, it closes the connection and
// returns ErrMoved: connect again.
func (db *DB) InTxOn(ctx context.Context, conn *pgx.Conn, f func(tx pgx.Tx) error) error {
	at, _ := conn.PgConn().CustomData()[homeKey].(*here)
	err := db.inTx(ctx, conn, f)
	if again, err := db.again(ctx, at, err); !again {
		return err
	}
	_ = conn.Close(ctx) // it is of no use either way
	return ErrMoved
}

func (db *DB) inTx(ctx context.Context, conn *pgx.Conn, f func(tx pgx.Tx) error) error {
	p := &pipeline{db: db, conn: conn, action: actionOf(ctx)}
	committed := false
	defer func() {
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), silence)
		defer cancel()
		_ = p.Rollback(rollback) // does nothing after a commit
		for _, l := range p.loads {
			l.ended(committed)
		}
	}()
	err := f(p)
	if err == nil {
		err = p.Commit(ctx)
	}
	if err == nil {
		committed = true
		return nil
	}
	if p.failed != nil && !errors.Is(err, p.failed) {
		err = fmt.Errorf("%w: %w", err, p.failed) // f's error may hide the cause
	}
	if !p.answered && p.conn.IsClosed() {
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return err
}

// ErrNoAnswer means that a transaction failed before the database had answered anything.
var ErrNoAnswer = errors.New("no answer from the database")

// Queue adds a statement of sqlc's kind :exec to the transaction and does not wait for it. It is
// sent with the next statement that waits, or with the commit, which returns its error.
//
//	postgres.Queue(tx, db.New(tx).InsertParcel, params)
//
// It panics if tx was not begun by a DB, or if the statement is of another transaction.
func Queue[P any](tx pgx.Tx, statement func(ctx context.Context, params P) error, params P) {
	p := of(tx)
	queued := p.queued.Len()
	over, cancel := context.WithCancel(context.Background())
	cancel() // or a statement of the pool would run before it is refused
	p.queueing = true
	err := statement(over, params)
	p.queueing = false
	if err != nil || p.queued.Len() != queued+1 {
		panic("postgres: Queue takes a statement of its own transaction")
	}
}

// QueueSQL is Queue for a statement of the platform's own.
func QueueSQL(tx pgx.Tx, sql string, args ...any) { of(tx).queued.Queue(sql, args...) }

func of(tx pgx.Tx) *pipeline {
	p, ok := tx.(*pipeline)
	if !ok {
		panic("postgres: the transaction was not begun by a DB")
	}
	return p
}

// QueuedError is the error of a queued statement.
type QueuedError struct {
	SQL string
	error
}

// Error begins with the statement's first line, in which sqlc writes its name.
func (e *QueuedError) Error() string {
	line, _, _ := strings.Cut(strings.TrimSpace(e.SQL), "\n")
	return line + ": " + e.error.Error()
}

func (e *QueuedError) Unwrap() error { return e.error }

// pipeline is a transaction that begins with its first statement.
type pipeline struct {
	pgx.Tx   // nil before it has begun
	db       *DB
	conn     *pgx.Conn
	queued   pgx.Batch
	queueing bool             // Exec and Query only queue
	answers  pgx.BatchResults // unless nil, Query reads the next of these
	answered bool             // the database has answered something
	failed   error            // of the queued statement that failed
	action   *action          // to audit, or nil
	loads    []interface {
		queue(b *pgx.Batch)
		ended(committed bool)
	}
	over bool
}

// SendBatch sends what is queued, and then b. An error of what is queued is returned for all of b.
func (p *pipeline) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	all := &pgx.Batch{}
	switch {
	case p.failed != nil: // a queued statement has failed: nothing may be committed
		return pgx.FailedBatchResults(b, p.failed)
	case p.Tx == nil:
		// Independent of the session's defaults.
		all.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	case p.conn.PgConn().TxStatus() == idle: // BEGIN failed, and f went on: nothing may run outside
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
		err := p.answer(q, results)
		_, refused := errors.AsType[*pgconn.PgError](err)
		p.answered = p.answered || err == nil || refused
		if err != nil {
			sql := q.SQL
			if unsent, ok := errors.AsType[pgx.ErrPreprocessingBatch](err); ok {
				sql = unsent.SQL() // which kept the batch from being sent
			}
			p.failed = &QueuedError{sql, end(results, err)}
			return pgx.FailedBatchResults(b, p.failed)
		}
	}
	return results
}

// A connection's status without a transaction, and in a failed one (protocol: ReadyForQuery).
const (
	idle    = 'I'
	aborted = 'E'
)

func (p *pipeline) send(ctx context.Context, sql string, args []any) pgx.BatchResults {
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	return p.SendBatch(ctx, b)
}

func (p *pipeline) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if p.queueing {
		p.queued.Queue(sql, args...)
		return pgconn.CommandTag{}, nil
	}
	results := p.send(ctx, sql, args)
	tag, err := results.Exec()
	return tag, end(results, err)
}

func (p *pipeline) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	results := p.send(ctx, sql, args)
	return row{results.QueryRow(), results}
}

func (p *pipeline) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	switch {
	case p.queueing:
		p.queued.Queue(sql, args...)
		return nil, errQueued
	case p.answers != nil:
		return p.answers.Query()
	}
	results := p.send(ctx, sql, args)
	answer, err := results.Query()
	if err != nil {
		return answer, end(results, err)
	}
	return &rows{Rows: answer, results: results}, nil
}

// CopyFrom sends what is queued first, like everything that waits.
func (p *pipeline) CopyFrom(
	ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource,
) (int64, error) {
	if err := p.flush(ctx); err != nil {
		return 0, err
	}
	return p.Tx.CopyFrom(ctx, table, columns, source)
}

// Begin sets a savepoint. The transaction that it returns can neither queue nor carry.
func (p *pipeline) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := p.flush(ctx); err != nil {
		return nil, err
	}
	return p.Tx.Begin(ctx)
}

func (p *pipeline) flush(ctx context.Context) error { return p.SendBatch(ctx, &pgx.Batch{}).Close() }

func (p *pipeline) Conn() *pgx.Conn { return p.conn }

// Commit sends what is queued and carried and the commit in one round trip.
func (p *pipeline) Commit(ctx context.Context) error {
	if p.Tx != nil && p.conn.PgConn().TxStatus() == aborted { // a statement has failed, and f went on
		return pgx.ErrTxCommitRollback
	}
	for _, l := range p.loads {
		l.queue(&p.queued)
	}
	if p.Tx == nil && p.queued.Len() == 0 {
		return nil // nothing to send
	}
	if p.action != nil {
		p.action.queue(&p.queued)
	}
	_, err := p.Exec(ctx, "commit")
	p.over = err == nil
	return err
}

func (p *pipeline) Rollback(ctx context.Context) error {
	if p.Tx == nil || p.over {
		return nil
	}
	p.over = true
	return p.Tx.Rollback(ctx)
}
