// Command payments runs the module payments alone; the broker connects it to the others.
package main

import (
	"context"
	"time"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
)

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve payments until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "bring the schema payments up to date; do it before serving", Run: migrate},
	)
}

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, "payments", service.NATS, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	db, err := s.Database(ctx, "payments", cfg.DatabaseURL, paymentsmigrations.FS)
	if err != nil {
		return err
	}
	m := payments.New(cfg.Module, db, s.Outbox("payments", db), s.Log("payments"), time.Now)
	if err := s.Serve(ctx, "payments", db, m); err != nil {
		return err
	}
	return s.Run(ctx)
}

func migrate(ctx context.Context, _ []string) error {
	cfg, err := process.Config[migrateConfig]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.URL, paymentsmigrations.FS)
}
