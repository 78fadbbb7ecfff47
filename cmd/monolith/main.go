// Command monolith runs all modules in one process, or those in MODULES.
package main

import (
	"context"
	"io/fs"
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

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve the modules until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "migrate the modules' schemas; do it before serving", Run: migrate},
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

	var stock orders.Stock = inventoryapi.NewClient(string(cfg.InventoryURL), web.NewTransport(cfg.Client))
	if cfg.serves("inventory") {
		db, err := s.Database(ctx, "inventory", cfg.InventoryDatabaseURL, inventorymigrations.FS)
		if err != nil {
			return err
		}
		m := inventory.New(cfg.Inventory, db, s.Outbox(db), s.Log("inventory"), time.Now)
		if err := s.Serve(ctx, db, m); err != nil {
			return err
		}
		stock = m // without the network
	}
	if cfg.serves("orders") {
		db, err := s.Database(ctx, "orders", cfg.OrdersDatabaseURL, ordersmigrations.FS)
		if err != nil {
			return err
		}
		m := orders.New(cfg.Orders, db, s.Outbox(db), s.Log("orders"), time.Now, stock)
		if err := s.Serve(ctx, db, m); err != nil {
			return err
		}
	}
	if cfg.serves("payments") {
		db, err := s.Database(ctx, "payments", cfg.PaymentsDatabaseURL, paymentsmigrations.FS)
		if err != nil {
			return err
		}
		m := payments.New(cfg.Payments, db, s.Outbox(db), s.Log("payments"), time.Now)
		if err := s.Serve(ctx, db, m); err != nil {
			return err
		}
	}
	if cfg.serves("notifications") {
		db, err := s.Database(ctx, "notifications", cfg.NotificationsDatabaseURL, notificationsmigrations.FS)
		if err != nil {
			return err
		}
		m := notifications.New(cfg.Notifications, db, s.Log("notifications"), time.Now)
		if err := s.Serve(ctx, db, m); err != nil {
			return err
		}
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
	for module, schema := range map[string]struct {
		url        string
		migrations fs.FS
	}{
		"orders":        {cfg.OrdersMigrateURL, ordersmigrations.FS},
		"inventory":     {cfg.InventoryMigrateURL, inventorymigrations.FS},
		"payments":      {cfg.PaymentsMigrateURL, paymentsmigrations.FS},
		"notifications": {cfg.NotificationsMigrateURL, notificationsmigrations.FS},
	} {
		if !cfg.serves(module) {
			continue
		}
		group.Go(func() error { return postgres.Migrate(ctx, schema.url, schema.migrations) })
	}
	return group.Wait()
}
