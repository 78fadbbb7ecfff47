// Package inventory keeps the products, their stock, and what is reserved for orders.
//
// It owns the schema inventory and nothing outside it. An order's pieces are reserved all together
// or not at all, and in every committed state on hand, reserved and shipped add up to what came in.
package inventory

import (
	"context"
	"log/slog"
	"time"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Config holds the module's settings.
type Config struct {
	// How long the answer to a restock is kept for the same Idempotency-Key.
	KeyRetention time.Duration `env:"INVENTORY_KEY_RETENTION" envDefault:"24h"`
}

// Module is inventory in one process. Any number of processes may serve one schema.
type Module struct {
	cfg    Config
	db     *postgres.DB
	outbox *events.Outbox
	now    func() time.Time
	pruner *worker.Worker
}

// New returns the module. It starts nothing.
func New(cfg Config, db *postgres.DB, outbox *events.Outbox, log *slog.Logger, now func() time.Time) *Module {
	m := &Module{cfg: cfg, db: db, outbox: outbox, now: now}
	m.pruner = idempotency.NewPruner(db, cfg.KeyRetention, log)
	return m
}

// Publishes returns the events that it publishes, each without a value.
func (m *Module) Publishes() []events.Event {
	return []events.Event{inventoryapi.Reserved{}, inventoryapi.Rejected{}}
}

// Workers returns the background loops to run. None expires reservations: the saga's deadline does.
func (m *Module) Workers() []func(context.Context) error {
	return []func(context.Context) error{m.pruner.Run}
}
