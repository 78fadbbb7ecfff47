package main

import (
	"example.com/shop/modules/payments"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
)

// config is all settings of the verb serve.
type config struct {
	// The connection on the runtime role payments_rt.
	DatabaseURL string `env:"PAYMENTS_DATABASE_URL,required,notEmpty"`

	Service service.Config
	NATS    natsbus.Config
	Module  payments.Config
}

// migrateConfig is all settings of the verb migrate, on the role payments_migrate.
type migrateConfig struct {
	URL string `env:"PAYMENTS_MIGRATE_URL,required,notEmpty"`
}
