// Command orders runs the module orders alone; the broker connects it to the others.
package main

import (
	"context"
	"time"

	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve orders until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "bring the schema orders up to date; do it before serving", Run: migrate},
	)
}

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, "orders", service.NATS, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	db, err := s.Database(ctx, "orders", cfg.DatabaseURL, ordersmigrations.FS)
	if err != nil {
		return err
	}
	stock := inventoryapi.NewClient(cfg.InventoryURL, web.NewTransport(cfg.Client))
	m := orders.New(cfg.Module, db, s.Outbox("orders", db), s.Log("orders"), time.Now, stock)
	if err := s.Serve(ctx, "orders", db, m); err != nil {
		return err
	}
	return s.Run(ctx)
}

func migrate(ctx context.Context, _ []string) error {
	cfg, err := process.Config[migrateConfig]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.URL, ordersmigrations.FS)
}
