package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"
)

// Operations is the operators' HTTP server, apart from the users': /livez, /readyz, Go's profiles
// under /debug/pprof/, and what the process adds. Only operators may reach it.
//
//	/livez             200 while the process can answer at all
//	/readyz            200 while it can serve something: one of its modules is ready, if it has any;
//	                   the text says what an operator must do all the same
//	/readyz/all        200 while it can serve each of its modules
//	/readyz/<module>   200 while it can serve this module; 501 when it does not have it, since
//	                   404 is the answer of a release without this page
type Operations struct {
	// Handover passes its socket on like that for clients, at the same path with .ops at the end, to a
	// process with the same address.
	Handover Handover

	addr    string
	mux     *http.ServeMux
	checks  []*check // of the process as a whole
	modules map[string]*check
	// stopping ends at the signal to stop. From then on the process is not ready, but still serves.
	stopping context.Context //nolint:containedctx // it is a state that handlers read, not a request's context
}

// NewOperations returns the server for addr. Nothing is ready any more once stopping is done.
func NewOperations(stopping context.Context, addr string) *Operations {
	o := &Operations{addr: addr, mux: http.NewServeMux(), modules: map[string]*check{}, stopping: stopping}
	o.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	o.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.ready(1, o.all()...)) })
	o.mux.HandleFunc("GET /readyz/all", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, o.ready(len(o.modules), o.all()...))
	})
	o.mux.HandleFunc("GET /readyz/{module}", func(w http.ResponseWriter, r *http.Request) {
		module, served := o.modules[r.PathValue("module")]
		if !served {
			http.Error(w, "this process does not serve it", http.StatusNotImplemented)
			return
		}
		answer(w, o.ready(1, module))
	})
	o.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	o.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return o
}

// Check adds a readiness check of the process as a whole. Add all before Run.
func (o *Operations) Check(name string, run func(ctx context.Context) error) {
	o.checks = append(o.checks, &check{name: name, run: run})
}

// Module adds a module with its readiness check. Add all before Run.
func (o *Operations) Module(name string, run func(ctx context.Context) error) {
	o.modules[name] = &check{name: name, run: run}
}

// Handle adds a page of the process's own. Add all before Run.
func (o *Operations) Handle(pattern string, handler http.Handler) { o.mux.Handle(pattern, handler) }

// Handler returns what Run serves.
func (o *Operations) Handler() http.Handler { return o.mux }

func answer(w http.ResponseWriter, err error) {
	if note, ok := errors.AsType[Note](err); ok {
		fmt.Fprintln(w, "ok, but "+string(note))
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (o *Operations) all() []*check { return slices.Collect(maps.Values(o.modules)) }

// ready returns nil, or one of their Notes, if the process is ready and as many of the modules as
// it needs, and does not wait then for those whose checks hang.
func (o *Operations) ready(needs int, modules ...*check) error {
	if o.stopping.Err() != nil {
		return errors.New("stopping")
	}
	var noted error
	passed := func(err error) bool {
		if note, ok := errors.AsType[Note](err); ok {
			noted, err = note, nil
		}
		return err == nil
	}
	for _, c := range o.checks {
		if err := c.failure(o.stopping); !passed(err) {
			return err
		}
	}
	results := make(chan error, len(modules))
	for _, module := range modules {
		go func() { results <- module.failure(o.stopping) }()
	}
	var failures error
	for range modules {
		if err := <-results; !passed(err) {
			failures = errors.Join(failures, err)
		} else if needs--; needs == 0 {
			return noted
		}
	}
	return cmp.Or(failures, noted)
}

// Linger returns a part that ends d after the signal to stop, or at once when a part has failed. As
// the last stage, which stops first, it keeps the others running until the load balancer has seen
// that the process is not ready: a listener that closed at once would refuse requests on their way.
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
	listener, err := o.Handover.Beside("ops").Listen(ctx, "OPS_ADDR", o.addr)
	if err != nil {
		return err
	}
	if offered, ok := listener.(*offered); ok {
		defer context.AfterFunc(o.stopping, offered.yield)()
	}
	// A minute to write, because a profile takes as long as its request asks for.
	server := &http.Server{Handler: lastAnswers(o.stopping, o.Handler()), ReadHeaderTimeout: time.Second, WriteTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = errors.Join(server.Close(), listener.Close()) }) // one that has yielded, too
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operations: %w", err)
	}
	return nil
}
