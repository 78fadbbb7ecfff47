package idempotency

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/worker"
)

// pruneEvery and pruneBatch spread the deleting of old answers, so that it is never felt.
const (
	pruneEvery = 10 * time.Minute
	pruneBatch = 1000
)

// NewPruner returns the worker that forgets answers older than retention. A module that takes keys runs it.
func NewPruner(pool *pgxpool.Pool, retention time.Duration, log *slog.Logger) *worker.Worker {
	return worker.New("prune idempotency keys", pruneEvery, func(ctx context.Context) (more bool, err error) {
		forgotten, err := Prune(ctx, pool, retention, pruneBatch)
		return forgotten == pruneBatch, err
	}, log)
}
