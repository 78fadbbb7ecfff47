package paymentssim

import (
	"context"
	"time"

	"example.com/shop/platform/devkit/sandbox"
	"example.com/shop/platform/process"
)

type settings struct {
	// Where the provider listens.
	Port int `env:"PAYMENTS_SIM_PORT" envDefault:"8091" min:"0"`
	// What it asks for; nothing if empty.
	Secret string `env:"PAYMENTS_PROVIDER_SECRET"`
	// How long it takes for tok_slow.
	Slow time.Duration `env:"PAYMENTS_SIM_SLOW" envDefault:"90s" min:"0"`
}

// InSandbox starts the provider, which keeps its ledger in the sandbox's folder and shows it at
// /ledger.
func InSandbox(ctx context.Context, b *sandbox.Box) error {
	s, err := process.Config[settings]()
	if err != nil {
		return err
	}
	provider, err := New(Options{Secret: s.Secret, Journal: b.File("provider.jsonl"), SlowDelay: s.Slow})
	if err != nil {
		return err
	}
	b.OnStop(provider.Close)
	url, err := b.Serve(ctx, s.Port, provider)
	b.Set("PAYMENTS_PROVIDER_URL", url)
	b.Set("PROVIDER_PAGE", url+"/ledger")
	return err
}
