package main

import (
	"example.com/shop/modules/notifications"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
)

// config is all settings of the verb serve.
type config struct {
	// The connection on the runtime role notifications_rt.
	DatabaseURL string `env:"NOTIFICATIONS_DATABASE_URL,required,notEmpty"`

	Service service.Config
	NATS    natsbus.Config
	Module  notifications.Config
}

// migrateConfig is all settings of the verb migrate, on the role notifications_migrate.
type migrateConfig struct {
	URL string `env:"NOTIFICATIONS_MIGRATE_URL,required,notEmpty"`
}
