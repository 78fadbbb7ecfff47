// Command orders runs the module orders alone; the broker connects it to the others.
package main

import (
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

func main() {
	os.Exit(service.Program[config]{
		Name: "orders", Migrations: map[string]fs.FS{"orders": ordersmigrations.FS},
		Bus: func(cfg config, module, seed string, log *slog.Logger) (service.Bus, error) {
			return natsbus.Open(cfg.NATS, module, seed, log)
		},
		Wire: func(cfg config, add service.Add) {
			add("orders", func(p *service.Parts) service.Module {
				stock := inventoryapi.NewClient(string(cfg.InventoryURL), web.NewTransport(cfg.Client))
				return orders.New(cfg.Module, p.DB, p.Outbox(), p.Log, time.Now, stock)
			})
		},
	}.Main())
}
