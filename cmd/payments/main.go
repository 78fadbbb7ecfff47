// Command payments runs the module payments alone; the broker connects it to the others.
package main

import (
	"io/fs"
	"log/slog"
	"os"
	"time"

	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/service"
)

// config is the settings of the verb serve, beside those of every process.
type config struct {
	NATS   natsbus.Config
	Module payments.Config
}

func main() {
	os.Exit(service.Program[config]{
		Name: "payments", Migrations: map[string]fs.FS{"payments": paymentsmigrations.FS},
		Bus: func(cfg config, module, seed string, log *slog.Logger) (service.Bus, error) {
			return natsbus.Open(cfg.NATS, module, seed, log)
		},
		Wire: func(cfg config, add service.Add) {
			add("payments", func(p *service.Parts) service.Module {
				return payments.New(cfg.Module, p.DB, p.Outbox(), p.Log, time.Now)
			})
		},
	}.Main())
}
