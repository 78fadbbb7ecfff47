package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// QueueMany is Queue for a statement of sqlc's kind :many. Its rows are there once the next
// statement that waits has returned, without a round trip of their own.
//
//	parcels := postgres.QueueMany(tx, db.New(tx).ListParcels, params)
//	… a statement that waits
//	for _, parcel := range *parcels {
func QueueMany[P, R any](tx pgx.Tx, statement func(ctx context.Context, params P) ([]R, error), params P) *[]R {
	p := of(tx)
	queued := p.queued.Len()
	over, cancel := context.WithCancel(context.Background())
	cancel() // or a statement of the pool would run before it is refused
	p.queueing = true
	_, err := statement(over, params)
	p.queueing = false
	if !errors.Is(err, errQueued) || p.queued.Len() != queued+1 {
		panic("postgres: QueueMany takes a statement of its own transaction")
	}
	rows := new([]R)
	p.queued.QueuedQueries[queued].Fn = func(answers pgx.BatchResults) (err error) {
		p.answers = answers
		*rows, err = statement(over, params) // the same once more, to read what the first has queued
		p.answers = nil
		return err
	}
	return rows
}

var errQueued = errors.New("the statement is queued")

// answer reads the answer to a queued statement.
func (p *pipeline) answer(q *pgx.QueuedQuery, answers pgx.BatchResults) error {
	if q.Fn != nil {
		return q.Fn(answers)
	}
	_, err := answers.Exec()
	return err
}
