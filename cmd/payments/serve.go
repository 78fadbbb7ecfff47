package main

import (
	"context"
	"time"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
)

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Service.Log.Install("payments")
	bus, err := natsbus.Open(cfg.NATS, log)
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, "payments", bus, log, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	db, err := s.Database(ctx, "payments", cfg.DatabaseURL, paymentsmigrations.FS)
	if err != nil {
		return err
	}
	m := payments.New(cfg.Module, db, s.Outbox(db), s.Log("payments"), time.Now)
	if err := s.Serve(ctx, db, m); err != nil {
		return err
	}
	return s.Run(ctx)
}
