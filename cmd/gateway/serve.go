package main

import (
	"context"

	"example.com/shop/platform/process"
	"example.com/shop/platform/telemetry"
)

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Log.New("gateway")
	flush, err := telemetry.Start(ctx, "gateway", cfg.Telemetry)
	if err != nil {
		return process.Usage(err)
	}
	defer flush()
	g, err := newGateway(cfg, log)
	if err != nil {
		return process.Usage(err)
	}
	listener, err := listen(ctx, cfg.Addr)
	if err != nil {
		return process.Usage(err)
	}
	operations := process.NewOperations(ctx, cfg.OpsAddr)
	operations.Handle("GET /routes", g.status())
	// The requests drain first: they still need the health of their upstreams, and whoever runs this still wants to look.
	return process.Run(ctx, log, cfg.StopGrace,
		process.Stage{operations.Run},
		process.Stage{g.watch, g.probe, g.shadows.run},
		process.Stage{func(ctx context.Context) error { return g.run(ctx, listener) }})
}
