// Package inventory knows what there is to sell and what is promised to whom.
//
// It owns the schema inventory and nothing outside it. An order's pieces are reserved all together or not at all, and no
// piece is ever lost: on hand, reserved and shipped add up to what came in, in every committed state.
package inventory

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"example.com/shop/platform/events"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Config is what a deployment may set.
type Config struct {
	// How long the answer to a restock is kept, and repeated for the same Idempotency-Key.
	KeyRetention time.Duration `env:"INVENTORY_KEY_RETENTION" envDefault:"24h"`
}

// Validate refuses what would forget answers before they were given.
func (c Config) Validate() error {
	if c.KeyRetention <= 0 {
		return errors.New("INVENTORY_KEY_RETENTION must be above 0")
	}
	return nil
}

// Module is inventory in one process. Any number of processes may serve one schema.
type Module struct {
	cfg    Config
	db     *postgres.DB
	outbox *events.Outbox
	now    func() time.Time
	pruner *worker.Worker
}

// New makes the module and starts nothing.
func New(cfg Config, db *postgres.DB, outbox *events.Outbox, log *slog.Logger, now func() time.Time) *Module {
	m := &Module{cfg: cfg, db: db, outbox: outbox, now: now}
	m.pruner = idempotency.NewPruner(db, cfg.KeyRetention, log)
	return m
}

// Workers are the loops to run. None of them expires reservations: the saga's cancellation releases what is reserved.
func (m *Module) Workers() []func(context.Context) error {
	return []func(context.Context) error{m.pruner.Run}
}
