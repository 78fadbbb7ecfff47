package main

import (
	"errors"

	"example.com/shop/modules/orders"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

// config is everything that serving can be told, and comes from the environment alone.
type config struct {
	// The connection on the runtime role orders_rt.
	DatabaseURL string `env:"ORDERS_DATABASE_URL,required,notEmpty"`
	// Where inventory is asked for quotes: the façade.
	InventoryURL web.BaseURL `env:"INVENTORY_URL" envDefault:"http://127.0.0.1:8080"`

	Service service.Config
	Client  web.ClientConfig
	Module  orders.Config
}

// Validate refuses a process that could take no order.
func (c config) Validate() error {
	if c.Client.Token == "" {
		return errors.New("SERVICE_TOKEN is not set: inventory quotes no prices without it")
	}
	return nil
}

// migrateConfig is what migrating needs: the role orders_migrate, which serving never sees.
type migrateConfig struct {
	URL string `env:"ORDERS_MIGRATE_URL,required,notEmpty"`
}
