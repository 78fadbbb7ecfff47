package main

import (
	"example.com/shop/modules/notifications"
	"example.com/shop/platform/service"
)

// config is everything that serving can be told, and comes from the environment alone.
type config struct {
	// The connection on the runtime role notifications_rt.
	DatabaseURL string `env:"NOTIFICATIONS_DATABASE_URL,required,notEmpty"`

	Service service.Config
	Module  notifications.Config
}

// migrateConfig is what migrating needs: the role notifications_migrate, which serving never sees.
type migrateConfig struct {
	URL string `env:"NOTIFICATIONS_MIGRATE_URL,required,notEmpty"`
}
