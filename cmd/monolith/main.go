// Command monolith runs all modules in one process, or those in MODULES. Of the files that there
// are, a new module is added to this one, to architecture/contextmap.yaml and to go.work; make
// generate writes the rest.
package main

import (
	"io/fs"
	"log/slog"
	"os"
	"time"

	inventorymigrations "example.com/shop/migrations/inventory"
	notificationsmigrations "example.com/shop/migrations/notifications"
	ordersmigrations "example.com/shop/migrations/orders"
	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/inventory"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/notifications"
	"example.com/shop/modules/orders"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

// schemas are those of the modules that this program can serve.
var schemas = map[string]fs.FS{
	"inventory":     inventorymigrations.FS,
	"orders":        ordersmigrations.FS,
	"payments":      paymentsmigrations.FS,
	"notifications": notificationsmigrations.FS,
}

// config is the settings of the verb serve, beside those of every process.
type config struct {
	Selection
	// memory when this process serves every module, nats in any other mix.
	Bus string `env:"BUS" envDefault:"memory"`
	// The façade's GATEWAY_INTERNAL_ADDR, to call inventory when this process does not serve it.
	InventoryURL web.BaseURL `env:"INVENTORY_URL" envDefault:"http://127.0.0.1:8082"`

	NATS   natsbus.Config
	Client web.ClientConfig

	Orders        orders.Config
	Inventory     inventory.Config
	Payments      payments.Config
	Notifications notifications.Config
}

func main() {
	program := service.Program[config]{Name: "monolith", Migrations: schemas, Serves: served, Bus: openBus(events.NewMemoryBus()), Wire: wire}
	os.Exit(program.Main())
}

// openBus returns the bus in memory, which is one for all modules, or opens a module's connection
// to the broker, where other processes serve some of the modules.
func openBus(memory *events.MemoryBus) func(config, string, string, *slog.Logger) (service.Bus, error) {
	return func(cfg config, module, seed string, log *slog.Logger) (service.Bus, error) {
		if cfg.Bus == natsbus.Name {
			return natsbus.Open(cfg.NATS, module, seed, log)
		}
		return memory, nil
	}
}

// wire is the composition root: it makes the modules, and connects those that call each other.
func wire(cfg config, add service.Add) {
	var stock orders.Stock = inventoryapi.NewClient(string(cfg.InventoryURL), web.NewTransport(cfg.Client))
	add("inventory", func(p *service.Parts) service.Module {
		m := inventory.New(cfg.Inventory, p.DB, p.Outbox(), p.Log, time.Now)
		stock = m // without the network
		return m
	})
	add("orders", func(p *service.Parts) service.Module {
		return orders.New(cfg.Orders, p.DB, p.Outbox(), p.Log, time.Now, stock)
	})
	add("payments", func(p *service.Parts) service.Module {
		return payments.New(cfg.Payments, p.DB, p.Outbox(), p.Log, time.Now)
	})
	add("notifications", func(p *service.Parts) service.Module {
		return notifications.New(cfg.Notifications, p.DB, p.Log, time.Now)
	})
}
