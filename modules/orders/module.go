// Package orders takes customers' orders and drives the saga of each.
//
// It owns the schema orders and nothing outside it. Every order becomes confirmed or cancelled,
// once, whatever other modules do, and each step is published if and only if it commits.
package orders

import (
	"context"
	"log/slog"
	"time"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Config holds the module's settings.
type Config struct {
	// How long an order waits for stock, and again for payment, before it is cancelled as expired.
	Deadline time.Duration `env:"ORDERS_DEADLINE" envDefault:"1m"`
	// How many orders a customer may have open, that is, neither confirmed nor cancelled.
	MaxOpen int `env:"ORDERS_MAX_OPEN" envDefault:"50"`
	// How many pieces, of all products together, a customer's open orders may hold.
	MaxPieces int `env:"ORDERS_MAX_PIECES" envDefault:"500"`
	// How often overdue orders are polled for.
	ExpiryPoll time.Duration `env:"ORDERS_EXPIRY_POLL" envDefault:"1s"`
	// How long the answer to a placement is kept for the same Idempotency-Key.
	KeyRetention time.Duration `env:"ORDERS_KEY_RETENTION" envDefault:"24h"`
	// How long after an order is confirmed or cancelled its customer is erased from it; 0 for
	// never.
	Retention time.Duration `env:"ORDERS_RETENTION" envDefault:"26280h" min:"0"`
}

// Stock is what orders needs of inventory: the module in the same process, or its client over HTTP.
// Quote leaves out skus that do not exist.
type Stock interface {
	Quote(ctx context.Context, skus []string) ([]inventoryapi.Quote, error)
}

// Module is orders in one process. Any number of processes may serve one schema.
type Module struct {
	cfg     Config
	db      *postgres.DB
	outbox  *events.Outbox
	log     *slog.Logger
	now     func() time.Time
	stock   Stock
	placing *postgres.Group[newOrder, *orderOutput]
	expirer *worker.Worker
	pruner  *worker.Worker
	eraser  *worker.Worker
}

// New returns the module. It starts nothing.
func New(
	cfg Config, db *postgres.DB, outbox *events.Outbox, log *slog.Logger, now func() time.Time, stock Stock,
) *Module {
	m := &Module{cfg: cfg, db: db, outbox: outbox, log: log, now: now, stock: stock}
	m.placing = postgres.NewGroup(db, m.placeTx)
	m.expirer = worker.New("expire orders", cfg.ExpiryPoll, m.expireOverdue, log)
	m.pruner = idempotency.NewPruner(db, cfg.KeyRetention, log)
	m.eraser = worker.New("erase orders", eraseEvery, m.eraseOld, log).Throttled()
	return m
}

// Publishes returns the events that it publishes, each without a value.
func (m *Module) Publishes() []events.Event {
	return []events.Event{ordersapi.Placed{}, ordersapi.PaymentDue{}, ordersapi.Confirmed{}, ordersapi.Cancelled{}, ordersapi.Erased{}}
}

// Workers returns the background loops to run.
func (m *Module) Workers() []func(context.Context) error {
	return []func(context.Context) error{m.expirer.Run, m.pruner.Run, m.eraser.Run}
}
