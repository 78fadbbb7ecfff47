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
//
//	/livez             200 while the process can answer at all
//	/readyz            200 while it can serve something: one of its modules is ready, if it has any
//	/readyz/<module>   200 while it can serve this module; 503 also when it does not have it,
//	                   since 404 is the answer of a release without this page
type Operations struct {
	addr    string
	mux     *http.ServeMux
	checks  []*check // of the process as a whole
	modules map[string]*check
	// stopping ends when the process begins to stop: it is not ready from then on, while it still serves what it has.
	stopping context.Context //nolint:containedctx // it is a state that handlers read, not a request's context
}

// NewOperations returns the listener for addr. Nothing is ready any more once stopping has ended.
func NewOperations(stopping context.Context, addr string) *Operations {
	o := &Operations{addr: addr, mux: http.NewServeMux(), modules: map[string]*check{}, stopping: stopping}
	o.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	o.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.ready()) })
	o.mux.HandleFunc("GET /readyz/{module}", func(w http.ResponseWriter, r *http.Request) {
		module, served := o.modules[r.PathValue("module")]
		if !served {
			http.Error(w, "this process does not serve it", http.StatusServiceUnavailable)
			return
		}
		answer(w, o.moduleReady(module))
	})
	o.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	o.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return o
}

// Check adds what the process as a whole needs to be ready. Add all before Run.
func (o *Operations) Check(name string, run func(ctx context.Context) error) {
	o.checks = append(o.checks, &check{name: name, run: run})
}

// Module adds a module, and what it needs to be ready. Add all before Run.
func (o *Operations) Module(name string, run func(ctx context.Context) error) {
	o.modules[name] = &check{name: name, run: run}
}

// Handle adds a page of the process's own. Add all before Run.
func (o *Operations) Handle(pattern string, handler http.Handler) { o.mux.Handle(pattern, handler) }

// Handler is what Run serves.
func (o *Operations) Handler() http.Handler { return o.mux }

// answer says no more than which part is not ready: the error of a check may name hosts and users.
func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// processReady says what keeps the process from serving anything.
func (o *Operations) processReady() error {
	if o.stopping.Err() != nil {
		return errors.New("stopping")
	}
	for _, c := range o.checks {
		if !c.passes(o.stopping) {
			return fmt.Errorf("%s is not ready", c.name)
		}
	}
	return nil
}

func (o *Operations) moduleReady(module *check) error {
	if err := o.processReady(); err != nil {
		return err
	}
	if !module.passes(o.stopping) {
		return fmt.Errorf("%s is not ready", module.name)
	}
	return nil
}

// ready does not wait for a module whose check hangs while another one is ready.
func (o *Operations) ready() error {
	if err := o.processReady(); err != nil || len(o.modules) == 0 {
		return err
	}
	passed := make(chan bool, len(o.modules))
	for _, module := range o.modules {
		go func() { passed <- module.passes(o.stopping) }()
	}
	for range o.modules {
		if <-passed {
			return nil
		}
	}
	return errors.New("no module is ready")
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
