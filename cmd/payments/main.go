// Command payments runs the module payments alone; the broker connects it to the others.
package main

import (
	"context"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve payments until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "migrate the schema payments; do it before serving", Run: migrate},
	)
}

func migrate(ctx context.Context, _ []string) error {
	cfg, err := process.Config[migrateConfig]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.URL, paymentsmigrations.FS)
}
