package idempotency

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// pruneEvery and pruneBatch keep each deletion short.
const (
	pruneEvery = 10 * time.Minute
	pruneBatch = 1000
)

// NewPruner returns the worker that deletes answers older than retention.
func NewPruner(db *postgres.DB, retention time.Duration, log *slog.Logger) *worker.Worker {
	return worker.New("prune idempotency keys", pruneEvery, func(ctx context.Context) (more bool, err error) {
		forgotten, err := prune(ctx, db, retention, pruneBatch)
		return forgotten == pruneBatch, err
	}, log).Throttled()
}

// prune deletes at most limit answers older than retention and returns how many. SKIP LOCKED lets
// several replicas prune at the same time.
func prune(ctx context.Context, db *postgres.DB, retention time.Duration, limit int64) (int64, error) {
	done, err := db.Exec(ctx, `
		DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY (
			SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval
			ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, retention, limit)
	if err != nil {
		return 0, fmt.Errorf("prune idempotency keys: %w", err)
	}
	return done.RowsAffected(), nil
}
