package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Listen binds the address of a setting. Its error is a usage error that names the setting.
func Listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, Usage(inUseError(fmt.Sprintf("%s is already in use: stop the other process or set %s to another address",
			addr, setting)))
	}
	if err != nil {
		return nil, Usage(fmt.Errorf("listen on %s: %w", setting, err))
	}
	return listener, nil
}

// inUseError is syscall.EADDRINUSE, with what to do.
type inUseError string

func (e inUseError) Error() string      { return string(e) }
func (inUseError) Is(target error) bool { return target == syscall.EADDRINUSE }

// ServeHTTP serves until ctx is done and then lets the requests under way finish, for at most
// drain. Once stopping is done, clients are asked to close their connections. A request with
// Content-Length and Transfer-Encoding is refused. With a TLSConfig it serves over TLS.
func ServeHTTP(
	ctx, stopping context.Context, log *slog.Logger, server *http.Server, listener net.Listener, drain time.Duration,
) error {
	server.Handler = lastAnswers(stopping, unambiguous(server.Handler))
	server.ConnContext = withFramed
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	if o, ok := listener.(*offered); ok {
		defer context.AfterFunc(stopping, o.yield)()
	}
	if server.TLSConfig != nil {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(framedListener{listener, server.ErrorLog}) }()
	log.InfoContext(ctx, "http listening", "addr", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	// ctx is over, but its requests are not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close()
		return fmt.Errorf("drain http: requests were cut off after %s: %w", drain, err)
	}
	return nil
}

// lastAnswers asks clients to close their connections once stopping is done. The server would close
// them under a request, perhaps, whose client could not know whether it was handled.
func lastAnswers(stopping context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopping.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
