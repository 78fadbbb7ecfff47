package main

import (
	"example.com/shop/modules/inventory"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
)

// config is all settings of the verb serve.
type config struct {
	// The connection on the runtime role inventory_rt.
	DatabaseURL string `env:"INVENTORY_DATABASE_URL,required,notEmpty"`

	Service service.Config
	NATS    natsbus.Config
	Module  inventory.Config
}

// migrateConfig is all settings of the verb migrate, on the role inventory_migrate.
type migrateConfig struct {
	URL string `env:"INVENTORY_MIGRATE_URL,required,notEmpty"`
}
