package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"
)

// Operations is the listener for those who run the process, apart from its users' one: /livez, /readyz, Go's profiles under
// /debug/pprof/, and what the process adds. It must not be reachable for anybody else.
type Operations struct {
	addr   string
	mux    *http.ServeMux
	checks map[string]func(ctx context.Context) error
	// stopping ends when the process begins to stop: it is not ready from then on, while it still serves what it has.
	stopping context.Context //nolint:containedctx // it is a state that handlers read, not a request's context
}

// NewOperations returns the listener for addr. The process is ready while every check passes and stopping has not ended.
func NewOperations(stopping context.Context, addr string) *Operations {
	o := &Operations{addr: addr, mux: http.NewServeMux(), checks: map[string]func(ctx context.Context) error{}, stopping: stopping}
	o.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	o.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := o.ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	o.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	o.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return o
}

// Check adds what the process needs to be ready. Add all before Run.
func (o *Operations) Check(name string, check func(ctx context.Context) error) {
	o.checks[name] = check
}

// Handle adds a page of the process's own. Add all before Run.
func (o *Operations) Handle(pattern string, handler http.Handler) { o.mux.Handle(pattern, handler) }

// Handler answers 200 to /livez while the process can answer at all, and to /readyz while it wants requests.
func (o *Operations) Handler() http.Handler { return o.mux }

func (o *Operations) ready(ctx context.Context) error {
	if o.stopping.Err() != nil {
		return errors.New("stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for name, check := range o.checks {
		if err := check(ctx); err != nil {
			return fmt.Errorf("%s is not ready", name) // the error itself may name hosts and users
		}
	}
	return nil
}

// Linger returns a part that ends d after it was told to stop. As the last stage, and so the first to stop, it keeps the others running
// until whoever sends requests has seen that the process is not ready: a listener that closes in the same moment refuses what is on its
// way. When a part has failed, and nobody was told anything, it ends at once.
func (o *Operations) Linger(d time.Duration) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		if o.stopping.Err() != nil {
			time.Sleep(d)
		}
		return nil
	}
}

// Run serves until ctx ends.
func (o *Operations) Run(ctx context.Context) error {
	listener, err := Listen(ctx, "OPS_ADDR", o.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: o.Handler(), ReadHeaderTimeout: time.Second, WriteTimeout: time.Minute} // a profile takes as long as it is asked for
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operations: %w", err)
	}
	return nil
}
