package main

import (
	"errors"

	"example.com/shop/modules/orders"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

// config is all settings of the verb serve.
type config struct {
	// The connection on the runtime role orders_rt.
	DatabaseURL string `env:"ORDERS_DATABASE_URL,required,notEmpty"`
	// The façade, to get quotes from inventory.
	InventoryURL web.BaseURL `env:"INVENTORY_URL" envDefault:"http://127.0.0.1:8080"`

	Service service.Config
	NATS    natsbus.Config
	Client  web.ClientConfig
	Module  orders.Config
}

// Validate refuses a process that could accept no order.
func (c config) Validate() error {
	if c.Client.Token == "" {
		return errors.New("SERVICE_TOKEN is not set: inventory quotes no prices without it")
	}
	return nil
}

// migrateConfig is all settings of the verb migrate, on the role orders_migrate.
type migrateConfig struct {
	URL string `env:"ORDERS_MIGRATE_URL,required,notEmpty"`
}
