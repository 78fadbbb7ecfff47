// Command monolith runs all modules in one process, connected by a bus in memory.
package main

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	inventorymigrations "example.com/shop/migrations/inventory"
	notificationsmigrations "example.com/shop/migrations/notifications"
	ordersmigrations "example.com/shop/migrations/orders"
	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/inventory"
	"example.com/shop/modules/notifications"
	"example.com/shop/modules/orders"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/telemetry"
	"example.com/shop/platform/web"
	"example.com/shop/platform/worker"
)

func main() {
	process.Main(
		process.Verb{Name: "serve", Help: "serve all modules until a signal comes", Run: serve},
		process.Verb{Name: "migrate", Help: "bring all schemas up to date; do it before serving", Run: migrate},
	)
}

// module is what every bounded context offers to the process that serves it.
type module interface {
	Routes(api huma.API)
	Handlers() []events.Handler
	Workers() []*worker.Worker
	Wake()
}

// serve is the composition root: databases, bus, modules, then the stages in the order in which they start.
func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Log.New("monolith")
	flush, err := telemetry.Start(ctx, "monolith", cfg.Telemetry)
	if err != nil {
		return process.Usage(err)
	}
	defer func() { _ = flush(context.WithoutCancel(ctx)) }()

	ordersDB, err := postgres.Open(ctx, "orders", cfg.OrdersDatabaseURL, cfg.MaxConns, ordersmigrations.FS)
	if err != nil {
		return err
	}
	defer ordersDB.Close()
	inventoryDB, err := postgres.Open(ctx, "inventory", cfg.InventoryDatabaseURL, cfg.MaxConns, inventorymigrations.FS)
	if err != nil {
		return err
	}
	defer inventoryDB.Close()
	paymentsDB, err := postgres.Open(ctx, "payments", cfg.PaymentsDatabaseURL, cfg.MaxConns, paymentsmigrations.FS)
	if err != nil {
		return err
	}
	defer paymentsDB.Close()
	notificationsDB, err := postgres.Open(ctx, "notifications", cfg.NotificationsDatabaseURL, cfg.MaxConns, notificationsmigrations.FS)
	if err != nil {
		return err
	}
	defer notificationsDB.Close()

	bus := events.NewMemoryBus()
	defer bus.Close()
	ordersLog, inventoryLog := log.With("module", "orders"), log.With("module", "inventory")
	paymentsLog, notificationsLog := log.With("module", "payments"), log.With("module", "notifications")
	ordersOutbox := events.NewOutbox(ordersDB, bus, cfg.Events, ordersLog)
	inventoryOutbox := events.NewOutbox(inventoryDB, bus, cfg.Events, inventoryLog)
	paymentsOutbox := events.NewOutbox(paymentsDB, bus, cfg.Events, paymentsLog)

	stock := inventory.New(cfg.Inventory, inventoryDB, inventoryOutbox, inventoryLog, time.Now)
	served := []struct {
		name string
		module
		pool *pgxpool.Pool
	}{
		{"orders", orders.New(cfg.Orders, ordersDB, ordersOutbox, ordersLog, time.Now, stock), ordersDB},
		{"inventory", stock, inventoryDB},
		{"payments", payments.New(cfg.Payments, paymentsDB, paymentsOutbox, paymentsLog, time.Now), paymentsDB},
		{"notifications", notifications.New(cfg.Notifications, notificationsDB, notificationsLog, time.Now), notificationsDB},
	}

	verifier, err := web.NewVerifier(ctx, cfg.Web.Auth)
	if err != nil {
		return process.Usage(err)
	}
	server := web.New(cfg.Web, verifier, log)
	operations := process.NewOperations(ctx, cfg.OpsAddr)
	var consuming process.Stage
	for _, s := range served {
		if err := events.RecordBus(ctx, s.pool, "memory"); err != nil {
			return err
		}
		if err := server.Mount(s.name, s.Routes); err != nil {
			return err
		}
		consumer := events.NewConsumer(s.pool, bus, s.Handlers(), cfg.Events, log.With("module", s.name), s.Wake)
		if err := consumer.Subscribe(ctx); err != nil {
			return err
		}
		consuming = append(consuming, consumer.Run)
		for _, w := range s.Workers() {
			consuming = append(consuming, w.Run)
		}
		operations.Check(s.name, s.pool.Ping)
	}
	if _, err := server.Listen(); err != nil {
		return process.Usage(err)
	}
	return process.Run(ctx, log, cfg.StopGrace,
		process.Stage{operations.Run},
		consuming,
		process.Stage{ordersOutbox.Run, inventoryOutbox.Run, paymentsOutbox.Run},
		process.Stage{server.Run})
}

// migrate brings the schemas up to date side by side; any number of replicas may do it at once.
func migrate(ctx context.Context, _ []string) error {
	cfg, err := process.Config[migrateConfig]()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return postgres.Migrate(ctx, cfg.OrdersMigrateURL, ordersmigrations.FS) })
	group.Go(func() error { return postgres.Migrate(ctx, cfg.InventoryMigrateURL, inventorymigrations.FS) })
	group.Go(func() error { return postgres.Migrate(ctx, cfg.PaymentsMigrateURL, paymentsmigrations.FS) })
	group.Go(func() error { return postgres.Migrate(ctx, cfg.NotificationsMigrateURL, notificationsmigrations.FS) })
	return group.Wait()
}
