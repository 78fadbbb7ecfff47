// Command notifications runs the module notifications alone; the broker connects it to the others.
package main

import (
	"context"

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve notifications until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "migrate the schema notifications; do it before serving", Run: migrate},
	)
}

func migrate(ctx context.Context, _ []string) error {
	cfg, err := process.Config[migrateConfig]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.URL, notificationsmigrations.FS)
}
