// Command inventory runs the module inventory alone; the broker connects it to the others.
package main

import (
	"io/fs"
	"log/slog"
	"os"
	"time"

	inventorymigrations "example.com/shop/migrations/inventory"
	"example.com/shop/modules/inventory"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
)

// config is the settings of the verb serve, beside those of every process.
type config struct {
	NATS   natsbus.Config
	Module inventory.Config
}

func main() {
	os.Exit(service.Program[config]{
		Name: "inventory", Migrations: map[string]fs.FS{"inventory": inventorymigrations.FS},
		Bus: func(cfg config, module, seed string, log *slog.Logger) (service.Bus, error) {
			return natsbus.Open(cfg.NATS, module, seed, log)
		},
		Wire: func(cfg config, add service.Add) {
			add("inventory", func(p *service.Parts) service.Module {
				return inventory.New(cfg.Module, p.DB, p.Outbox(), p.Log, time.Now)
			})
		},
	}.Main())
}
