package main

import (
	"context"
	"time"

	inventorymigrations "example.com/shop/migrations/inventory"
	"example.com/shop/modules/inventory"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
)

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Service.Log.Install("inventory")
	bus, err := natsbus.Open(cfg.NATS, log)
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, "inventory", bus, log, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	db, err := s.Database(ctx, "inventory", cfg.DatabaseURL, inventorymigrations.FS)
	if err != nil {
		return err
	}
	m := inventory.New(cfg.Module, db, s.Outbox(db), s.Log("inventory"), time.Now)
	if err := s.Serve(ctx, db, m); err != nil {
		return err
	}
	return s.Run(ctx)
}
