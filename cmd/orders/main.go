// Command orders runs the module orders alone; the broker connects it to the others.
package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

// config is the settings of the verb serve, beside those of every process.
type config struct {
	// The façade, to get quotes from inventory.
	InventoryURL web.BaseURL `env:"INVENTORY_URL" envDefault:"http://127.0.0.1:8080"`

	NATS   natsbus.Config
	Client web.ClientConfig
	Module orders.Config
}

// Validate refuses a process that could accept no order.
func (c config) Validate() error {
	if c.Client.Token == "" {
		return errors.New("SERVICE_TOKEN is not set: inventory quotes no prices without it")
	}
	return nil
}

func main() {
	os.Exit(service.Program[config]{
		Name: "orders", Migrations: map[string]fs.FS{"orders": ordersmigrations.FS},
		Bus: func(cfg config, log *slog.Logger) (service.Bus, error) { return natsbus.Open(cfg.NATS, log) },
		Wire: func(cfg config, add service.Add) {
			add("orders", func(p *service.Parts) service.Module {
				stock := inventoryapi.NewClient(string(cfg.InventoryURL), web.NewTransport(cfg.Client))
				return orders.New(cfg.Module, p.DB, p.Outbox(), p.Log, time.Now, stock)
			})
		},
	}.Main())
}
