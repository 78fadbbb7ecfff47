package main

import (
	"errors"

	"example.com/shop/modules/orders"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/web"
)

// config is the settings of the verb serve, beside those of every process.
type config struct {
	// The façade's GATEWAY_INTERNAL_ADDR, to get quotes from inventory.
	InventoryURL web.BaseURL `env:"INVENTORY_URL" envDefault:"http://127.0.0.1:8082"`

	NATS   natsbus.Config
	Client web.ClientConfig
	Module orders.Config
}

// Validate refuses a process that could accept no order.
func (c config) Validate() error {
	if c.Client.Token == "" {
		return errors.New("SERVICE_TOKEN is not set: inventory quotes no prices without it")
	}
	return nil
}
