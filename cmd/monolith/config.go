package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/shop/modules/inventory"
	"example.com/shop/modules/notifications"
	"example.com/shop/modules/orders"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

var modules = []string{"orders", "inventory", "payments", "notifications"}

// Selection says which modules this process serves: an extraction is a matter of configuration.
type Selection struct {
	Modules []string `env:"MODULES" envDefault:"orders,inventory,payments,notifications"`
}

func (s Selection) serves(module string) bool { return slices.Contains(s.Modules, module) }

// Validate refuses unknown modules, duplicates and an empty list.
func (s Selection) Validate() error {
	for i, m := range s.Modules {
		if !slices.Contains(modules, m) {
			return fmt.Errorf("MODULES names %q; there are %s", m, strings.Join(modules, ", "))
		}
		if slices.Contains(s.Modules[:i], m) {
			return fmt.Errorf("MODULES names %s twice", m)
		}
	}
	if len(s.Modules) == 0 {
		return errors.New("MODULES is empty: name what this process serves")
	}
	return nil
}

// require returns an error if a served module has no setting <MODULE>_<what>.
func (s Selection) require(what string, settings map[string]string) error {
	for _, m := range s.Modules {
		if settings[m] == "" {
			return fmt.Errorf("%s_%s is not set", strings.ToUpper(m), what)
		}
	}
	return nil
}

// config is all settings of the verb serve.
type config struct {
	Selection
	// memory when this process serves every module, nats in any other mix.
	Bus string `env:"BUS" envDefault:"memory"`
	// One connection for each module that is served, on its runtime role <module>_rt.
	OrdersDatabaseURL        string `env:"ORDERS_DATABASE_URL"`
	InventoryDatabaseURL     string `env:"INVENTORY_DATABASE_URL"`
	PaymentsDatabaseURL      string `env:"PAYMENTS_DATABASE_URL"`
	NotificationsDatabaseURL string `env:"NOTIFICATIONS_DATABASE_URL"`
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

// Validate refuses a process that could not reach its modules' data or the other modules.
func (c config) Validate() error {
	if c.Bus != events.Memory && c.Bus != natsbus.Name {
		return fmt.Errorf("BUS must be %s or %s", events.Memory, natsbus.Name)
	}
	if c.Bus == events.Memory && len(c.Modules) < len(modules) {
		return errors.New("BUS=memory reaches only this process: set BUS=nats, or leave MODULES at all of them")
	}
	if c.serves("orders") && !c.serves("inventory") && c.Client.Token == "" {
		return errors.New("SERVICE_TOKEN is not set: inventory, in another process, quotes no prices without it")
	}
	return c.require("DATABASE_URL", map[string]string{
		"orders": c.OrdersDatabaseURL, "inventory": c.InventoryDatabaseURL,
		"payments": c.PaymentsDatabaseURL, "notifications": c.NotificationsDatabaseURL,
	})
}

// migrateConfig is all settings of the verb migrate, on the roles <module>_migrate.
type migrateConfig struct {
	Selection
	OrdersMigrateURL        string `env:"ORDERS_MIGRATE_URL"`
	InventoryMigrateURL     string `env:"INVENTORY_MIGRATE_URL"`
	PaymentsMigrateURL      string `env:"PAYMENTS_MIGRATE_URL"`
	NotificationsMigrateURL string `env:"NOTIFICATIONS_MIGRATE_URL"`
}

// Validate refuses a migration that could not begin.
func (c migrateConfig) Validate() error {
	return c.require("MIGRATE_URL", map[string]string{
		"orders": c.OrdersMigrateURL, "inventory": c.InventoryMigrateURL,
		"payments": c.PaymentsMigrateURL, "notifications": c.NotificationsMigrateURL,
	})
}
