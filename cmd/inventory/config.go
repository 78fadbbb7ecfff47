package main

import (
	"example.com/shop/modules/inventory"
	"example.com/shop/platform/service"
)

// config is everything that serving can be told, and comes from the environment alone.
type config struct {
	// The connection on the runtime role inventory_rt.
	DatabaseURL string `env:"INVENTORY_DATABASE_URL,required,notEmpty"`

	Service service.Config
	Module  inventory.Config
}

// migrateConfig is what migrating needs: the role inventory_migrate, which serving never sees.
type migrateConfig struct {
	URL string `env:"INVENTORY_MIGRATE_URL,required,notEmpty"`
}
