// Package share divides a module's work among the sides of a canary: processes that serve one
// schema, such as the monolith and the module's own.
//
// An operator gives each side a weight, in percent, which is its share of requests, events and jobs
// alike. The façade shares out the requests. Events and jobs are shared out by the aggregate's key,
// so that all that concerns one aggregate is handled by one side. The weights are in the schema:
// each transaction that handles events or claims jobs reads them, so a change is effective with the
// next one, in all processes, and a crash cannot leave two opinions of them.
//
//	bucket of the key   0        1000                               9999
//	weight of 10        |── new ──|─────────────── old ───────────────|
//
// A side that is killed is silent, and after ten seconds those that have a weight handle its
// buckets. They also handle the topics and kinds of jobs that it does not know, as while two
// releases run side by side. A side with weight 0 handles nothing, whatever happens.
package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/process"
)

// Buckets is into how many parts the keys of aggregates fall: 100 for each percent.
const Buckets = 10_000

// TakeTurn is the statement that takes a lock, until the transaction ends, so that one batch of the
// module's events is handled at a time over all its processes, and none while the shares change.
//
// The lock is a row of the module's schema: an advisory lock could be held by every role of the
// database.
const TakeTurn = `-- name: TakeTurn
	SELECT FROM turn WHERE one FOR UPDATE`

// Weight is a side's share, in percent.
type Weight struct {
	Side   string
	Weight int
}

// Set gives the sides of the pool's module these weights, which must add up to 100. The last side
// is the new one: while its weight grows it keeps the aggregates that it has. A process of a side
// that is not named handles nothing from now on, and does not start again. Without weights there
// are no shares: each side may handle all.
//
// When Set returns, no batch of events is being handled by the shares before, but for one that has
// taken longer than a lock may be waited for.
func Set(ctx context.Context, pool *pgxpool.Pool, weights ...Weight) error {
	total, low := 0, 0
	for _, w := range weights {
		total += w.Weight
	}
	if len(weights) > 0 && total != 100 {
		return process.Usage(fmt.Errorf("the weights add up to %d, not to 100", total))
	}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// Counts begin anew with the shares that they are counted under.
		if _, err := tx.Exec(ctx, `
			UPDATE sides SET weight = NULL, buckets = 'empty', requests = 0, events = 0, jobs = 0`); err != nil {
			return fmt.Errorf("clear the shares: %w", err)
		}
		for _, w := range slices.Backward(weights) {
			high := low + w.Weight*Buckets/100
			if _, err := tx.Exec(ctx, `
				INSERT INTO sides (side, weight, buckets) VALUES ($1, $2, int4range($3, $4))
				ON CONFLICT (side) DO UPDATE SET weight = excluded.weight, buckets = excluded.buckets`,
				w.Side, w.Weight, low, high); err != nil {
				return fmt.Errorf("set the share of %s: %w", w.Side, err)
			}
			low = high
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Not before, because a process that hangs with the turn would keep its share.
	var refused *pgconn.PgError
	if _, err := pool.Exec(ctx, TakeTurn); err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("wait for the module's batch: %w", err)
	}
	return nil
}

// Clear deletes all sides of the pool's module. No process of the system may run.
func Clear(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, "DELETE FROM sides"); err != nil {
		return fmt.Errorf("delete the sides: %w", err)
	}
	return nil
}

// State is what a schema knows of a side.
type State struct {
	Side   string `json:"side"`
	Weight *int   `json:"weight"` // nil while it has none
	Alive  bool   `json:"alive"`  // it is running: its last beat is at most ten seconds old
	// What it has handled since the weights were set, as of its last beat.
	Requests int64 `json:"requests"`
	Events   int64 `json:"events"`
	Jobs     int64 `json:"jobs"`
}

// Read returns the sides of the database's module, by name.
func Read(ctx context.Context, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}) ([]State, error) {
	rows, err := db.Query(ctx, `
		SELECT side, weight, coalesce(beat_at >= now() - interval '10 seconds', false), requests, events, jobs
		FROM sides ORDER BY side`)
	if err != nil {
		return nil, fmt.Errorf("read the shares: %w", err)
	}
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[State])
	if err != nil {
		return nil, fmt.Errorf("read the shares: %w", err)
	}
	return states, nil
}

// errNoShare means that a process must not serve a module, because its side has no weight.
var errNoShare = errors.New("this process has no share")

// admit refuses a side that is not among those with a weight, or that would serve beside another
// side while none has one: the two would handle everything by chance.
func admit(states []State, module, side string) error {
	var named, others []string
	for _, s := range states {
		switch {
		case s.Weight != nil && s.Side == side:
			return nil
		case s.Weight != nil:
			named = append(named, fmt.Sprintf("%s=%d", s.Side, *s.Weight))
		case s.Alive && s.Side != side:
			others = append(others, s.Side)
		}
	}
	instead := fmt.Sprintf("make %s a side of the route (seam route add %s %s URL [PROBE]), or do not serve %s here",
		side, module, side, module)
	switch {
	case len(named) > 0:
		return process.Usage(fmt.Errorf("%w: the work of %s is shared by %s, and SIDE is %s: %s",
			errNoShare, module, strings.Join(named, " "), side, instead))
	case len(others) > 0:
		return process.Usage(fmt.Errorf("%w: %s serves %s, or did ten seconds ago, and SIDE is %s: %s",
			errNoShare, strings.Join(others, " "), module, side, instead))
	}
	return nil
}
