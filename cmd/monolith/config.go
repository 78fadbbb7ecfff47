package main

import (
	"time"

	"example.com/shop/modules/inventory"
	"example.com/shop/modules/notifications"
	"example.com/shop/modules/orders"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
	"example.com/shop/platform/telemetry"
	"example.com/shop/platform/web"
)

// config is everything that serving can be told, and comes from the environment alone.
type config struct {
	// One connection for each module, on its runtime role <module>_rt.
	OrdersDatabaseURL        string `env:"ORDERS_DATABASE_URL,required,notEmpty"`
	InventoryDatabaseURL     string `env:"INVENTORY_DATABASE_URL,required,notEmpty"`
	PaymentsDatabaseURL      string `env:"PAYMENTS_DATABASE_URL,required,notEmpty"`
	NotificationsDatabaseURL string `env:"NOTIFICATIONS_DATABASE_URL,required,notEmpty"`
	// The most connections that each module's pool opens; delivery opens two more.
	MaxConns int32 `env:"DATABASE_MAX_CONNS" envDefault:"16"`
	// Where /livez and /readyz listen, apart from the shop's own routes.
	OpsAddr string `env:"OPS_ADDR" envDefault:"127.0.0.1:8081"`
	// How long it may take to stop: requests, then relays, then consumers and workers. What is cut off is done again later.
	StopGrace time.Duration `env:"STOP_GRACE" envDefault:"25s"`

	Log       process.Log
	Telemetry telemetry.Config
	Web       web.Config
	Events    events.Config

	Orders        orders.Config
	Inventory     inventory.Config
	Payments      payments.Config
	Notifications notifications.Config
}

// migrateConfig is what migrating needs: the roles <module>_migrate, which serving never sees.
type migrateConfig struct {
	OrdersMigrateURL        string `env:"ORDERS_MIGRATE_URL,required,notEmpty"`
	InventoryMigrateURL     string `env:"INVENTORY_MIGRATE_URL,required,notEmpty"`
	PaymentsMigrateURL      string `env:"PAYMENTS_MIGRATE_URL,required,notEmpty"`
	NotificationsMigrateURL string `env:"NOTIFICATIONS_MIGRATE_URL,required,notEmpty"`
}
