// Command gateway is the façade: clients talk to it alone, so a module can move to another process behind its back. It looks at a
// request's path and headers and at nothing else, owns no data and knows no module; what it does is written in its routes file.
//
// It promises that a change of that file fails no request, that no request without an Idempotency-Key is carried out twice because
// of it, and that a mistake in the file changes nothing.
package main

import (
	"context"

	"example.com/shop/platform/process"
)

func main() {
	process.Main(process.Verb{Name: "serve", Run: serve,
		Help: "route requests until a signal comes; GATEWAY_ADDR, GATEWAY_ROUTES and OPS_ADDR say where, config.go lists all settings"})
}

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Log.New("gateway")
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
