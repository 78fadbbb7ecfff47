// Command monolith runs all modules in one process, or those in MODULES. Of the files that there
// are, a new module is added to this one, to architecture/contextmap.yaml and to go.work; make
// generate writes the rest.
package main

import (
	"context"
	"io/fs"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
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

var modules = slices.Sorted(maps.Keys(schemas))

// config is all settings of the verb serve, beside a DATABASE_URL of each module that it serves.
type config struct {
	Selection
	// memory when this process serves every module, nats in any other mix.
	Bus string `env:"BUS" envDefault:"memory"`
	// The façade, to call inventory when this process does not serve it.
	InventoryURL web.BaseURL `env:"INVENTORY_URL" envDefault:"http://127.0.0.1:8080"`

	Service service.Config
	NATS    natsbus.Config
	Client  web.ClientConfig

	Orders        orders.Config
	Inventory     inventory.Config
	Payments      payments.Config
	Notifications notifications.Config
}

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve the modules until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "migrate the modules' schemas; do it before serving", Run: migrate},
		process.Verb{Name: "modules", Help: "print the modules that it can serve", Run: printModules},
	)
}

// serve is the composition root: it opens and connects the modules.
func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Service.Log.Install("monolith")
	var bus service.Bus = events.NewMemoryBus()
	if cfg.Bus == natsbus.Name {
		if bus, err = natsbus.Open(cfg.NATS, log); err != nil {
			return err
		}
	}
	s, err := service.Open(ctx, "monolith", bus, log, cfg.Service)
	if err != nil {
		return err
	}
	defer s.Close()

	open := func(module string, newModule func(db *postgres.DB) service.Module) error {
		if !cfg.serves(module) {
			return nil
		}
		db, err := s.Database(ctx, module, url(module, "DATABASE_URL"), schemas[module])
		if err != nil {
			return err
		}
		return s.Serve(ctx, db, newModule(db))
	}
	var stock orders.Stock = inventoryapi.NewClient(string(cfg.InventoryURL), web.NewTransport(cfg.Client))
	if err := open("inventory", func(db *postgres.DB) service.Module {
		m := inventory.New(cfg.Inventory, db, s.Outbox(db), s.Log("inventory"), time.Now)
		stock = m // without the network
		return m
	}); err != nil {
		return err
	}
	if err := open("orders", func(db *postgres.DB) service.Module {
		return orders.New(cfg.Orders, db, s.Outbox(db), s.Log("orders"), time.Now, stock)
	}); err != nil {
		return err
	}
	if err := open("payments", func(db *postgres.DB) service.Module {
		return payments.New(cfg.Payments, db, s.Outbox(db), s.Log("payments"), time.Now)
	}); err != nil {
		return err
	}
	if err := open("notifications", func(db *postgres.DB) service.Module {
		return notifications.New(cfg.Notifications, db, s.Log("notifications"), time.Now)
	}); err != nil {
		return err
	}
	return s.Run(ctx)
}

// migrate migrates all schemas concurrently; any number of replicas may do it at once.
func migrate(ctx context.Context, _ []string) error {
	cfg, err := process.Config[migrateConfig]()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, module := range cfg.served() {
		group.Go(func() error { return postgres.Migrate(ctx, url(module, "MIGRATE_URL"), schemas[module]) })
	}
	return group.Wait()
}
