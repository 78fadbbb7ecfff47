package main

import (
	"context"
	"time"

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/modules/notifications"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
)

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Service.Log.Install("notifications")
	bus, err := natsbus.Open(cfg.NATS, log)
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, "notifications", bus, log, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	db, err := s.Database(ctx, "notifications", cfg.DatabaseURL, notificationsmigrations.FS)
	if err != nil {
		return err
	}
	m := notifications.New(cfg.Module, db, s.Log("notifications"), time.Now)
	if err := s.Serve(ctx, db, m); err != nil {
		return err
	}
	return s.Run(ctx)
}
