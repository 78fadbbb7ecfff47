package main

import (
	"example.com/shop/modules/payments"
	"example.com/shop/platform/service"
)

// config is everything that serving can be told, and comes from the environment alone.
type config struct {
	// The connection on the runtime role payments_rt.
	DatabaseURL string `env:"PAYMENTS_DATABASE_URL,required,notEmpty"`

	Service service.Config
	Module  payments.Config
}

// migrateConfig is what migrating needs: the role payments_migrate, which serving never sees.
type migrateConfig struct {
	URL string `env:"PAYMENTS_MIGRATE_URL,required,notEmpty"`
}
