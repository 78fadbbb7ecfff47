package main

import (
	"context"
	"time"

	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Service.Log.Install("orders")
	bus, err := natsbus.Open(cfg.NATS, log)
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, "orders", bus, log, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	db, err := s.Database(ctx, "orders", cfg.DatabaseURL, ordersmigrations.FS)
	if err != nil {
		return err
	}
	stock := inventoryapi.NewClient(string(cfg.InventoryURL), web.NewTransport(cfg.Client))
	m := orders.New(cfg.Module, db, s.Outbox(db), s.Log("orders"), time.Now, stock)
	if err := s.Serve(ctx, db, m); err != nil {
		return err
	}
	return s.Run(ctx)
}
