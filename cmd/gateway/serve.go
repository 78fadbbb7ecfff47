package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"example.com/shop/platform/process"
	"example.com/shop/platform/telemetry"
)

func serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[config]()
	if err != nil {
		return err
	}
	log := cfg.Log.Install("gateway")
	flush, err := telemetry.Start(ctx, "gateway", cfg.Telemetry, log)
	if err != nil {
		return process.Usage(err)
	}
	defer flush()
	g, err := newGateway(ctx, cfg, log)
	if err != nil {
		return process.Usage(err)
	}
	listener, err := cfg.Handover.Listen(ctx, "GATEWAY_ADDR", cfg.Addr)
	if err != nil {
		return err
	}
	inside := func(context.Context) error { return nil }
	if cfg.InternalAddr != "" {
		internal, err := cfg.Handover.Beside("internal").Listen(ctx, "GATEWAY_INTERNAL_ADDR", cfg.InternalAddr)
		if err != nil {
			return err
		}
		inside = func(running context.Context) error { return g.run(running, ctx, internal, true) }
	}
	operations := process.NewOperations(ctx, cfg.OpsAddr)
	operations.Handover = cfg.Handover
	operations.Handle("GET /routes", http.HandlerFunc(g.status))
	operations.Handle("PUT /routes", http.HandlerFunc(g.replace))
	// Requests drain first, while the probes and the operator's pages still run, and what they call
	// inside.
	return process.Run(ctx, log, cfg.StopGrace,
		process.Stage{operations.Run},
		process.Stage{g.probe, g.drainShadows, inside},
		process.Stage{func(running context.Context) error { return g.run(running, ctx, listener, false) }},
		process.Stage{operations.Linger(cfg.DrainAfter)})
}

// run serves one of the listeners until ctx is done and then finishes the requests under way.
func (g *gateway) run(ctx, stopping context.Context, listener net.Listener, internal bool) error {
	server := &http.Server{
		Handler:        g.cfg.Proxies.Handler(otelhttp.NewHandler(door{g, internal}, "façade")),
		ReadTimeout:    g.cfg.ReadTimeout,
		WriteTimeout:   g.cfg.Timeout + time.Second, // time to write the timeout problem
		IdleTimeout:    g.cfg.IdleTimeout,
		MaxHeaderBytes: maxHeader,
		TLSConfig:      g.cfg.Certificate.Server(internal),
	}
	if !internal {
		g.cfg.Edge.Protect(server, g.cfg.Proxies)
	}
	return process.ServeHTTP(ctx, stopping, g.log, server, listener, g.cfg.Timeout+time.Second)
}
