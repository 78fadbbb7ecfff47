package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is already in use: stop the other process or set GATEWAY_ADDR to another address", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on GATEWAY_ADDR: %w", err)
	}
	return listener, nil
}

// run serves until ctx is done and then lets the requests under way finish; none of them lasts longer than the write timeout.
func (g *gateway) run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:        otelhttp.NewHandler(g, "façade"),
		ReadTimeout:    g.cfg.ReadTimeout,
		WriteTimeout:   g.cfg.Timeout + time.Second, // the second is for the problem that says so
		IdleTimeout:    g.cfg.IdleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	g.log.InfoContext(ctx, "listening", "addr", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// ctx is over, but its requests are not.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), server.WriteTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		_ = server.Close()
		return fmt.Errorf("drain: requests were cut off: %w", err)
	}
	return nil
}
