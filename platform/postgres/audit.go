package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/origin"
)

// action is a change that staff or a service asks for. Its row in the table audit is written in the
// transaction of the change, whatever the module does in it, and costs no round trip.
type action struct {
	origin.Request
	trace string
}

// actionOf returns the action of a request, or nil if it is none. What handlers of events and jobs
// do later because of it is none: their contexts have the request's cause and not its action.
func actionOf(ctx context.Context) *action {
	request := origin.From(ctx)
	if request.Action == "" {
		return nil
	}
	a := &action{Request: request}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		a.trace = span.TraceID().String()
	}
	return a
}

// queue adds the statement that writes the row. A transaction that has changed nothing has no id
// yet, and gets no row.
func (a *action) queue(b *pgx.Batch) {
	b.Queue("-- name: Audit\nSELECT audit_change($1, $2, $3, $4, $5, $6)",
		uuid.Must(uuid.NewV7()), a.Actor, a.Action, a.Client, a.CorrelationID, a.trace)
}

// send sends a statement outside of InTx together with the action's row: PostgreSQL runs what it is
// sent at once in one transaction.
func (p *place) send(ctx context.Context, a *action, sql string, args []any) pgx.BatchResults {
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	a.queue(b)
	return p.pool.SendBatch(ctx, b)
}

func (p *place) exec(ctx context.Context, sql string, args []any) (pgconn.CommandTag, error) {
	a := actionOf(ctx)
	if a == nil {
		return p.pool.Exec(ctx, sql, args...)
	}
	results := p.send(ctx, a, sql, args)
	tag, err := results.Exec()
	return tag, end(results, err)
}

func (p *place) query(ctx context.Context, sql string, args []any) (pgx.Rows, error) {
	a := actionOf(ctx)
	if a == nil {
		return p.pool.Query(ctx, sql, args...)
	}
	results := p.send(ctx, a, sql, args)
	answer, err := results.Query()
	if err != nil {
		return answer, end(results, err)
	}
	return &rows{Rows: answer, results: results}, nil
}
