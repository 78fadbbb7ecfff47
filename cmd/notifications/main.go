// Command notifications runs the module notifications alone; the broker connects it to the others.
package main

import (
	"io/fs"
	"log/slog"
	"os"
	"time"

	notificationsmigrations "example.com/shop/migrations/notifications"
	"example.com/shop/modules/notifications"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
)

// config is the settings of the verb serve, beside those of every process.
type config struct {
	NATS   natsbus.Config
	Module notifications.Config
}

func main() {
	os.Exit(service.Program[config]{
		Name: "notifications", Migrations: map[string]fs.FS{"notifications": notificationsmigrations.FS},
		Bus: func(cfg config, module, seed string, log *slog.Logger) (service.Bus, error) {
			return natsbus.Open(cfg.NATS, module, seed, log)
		},
		Wire: func(cfg config, add service.Add) {
			add("notifications", func(p *service.Parts) service.Module {
				return notifications.New(cfg.Module, p.DB, p.Log, time.Now)
			})
		},
	}.Main())
}
