// Package web is the HTTP server of a process. Every route declares who may call it, or the process
// does not start; every error is a problem+json that repeats no value of the request; bodies,
// headers and time are bounded; and each request is one line in the log.
package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/edge"
	"example.com/shop/platform/process"
	"example.com/shop/platform/remote"
)

// Config bounds what a client may cost. Its zero value, for tests, has no timeouts.
type Config struct {
	// Addr is where the server listens.
	Addr string `env:"HTTP_ADDR" envDefault:"127.0.0.1:8080"`
	// InternalAddr is where routes for services alone are served, which HTTP_ADDR does not have;
	// unset, they are not served. It is the same as HTTP_ADDR where only a façade reaches the process,
	// which keeps them apart itself; then with TLS_CA each client needs a certificate.
	InternalAddr string `env:"HTTP_INTERNAL_ADDR"`
	// Proxies are what stands before the process, such as the façade: their X-Forwarded-For names the
	// client, as in 10.0.0.0/8,192.0.2.7. Unset, a client is who connects.
	Proxies remote.Proxies `env:"TRUSTED_PROXIES"`
	// ReadTimeout is for one request to arrive, headers and body.
	ReadTimeout time.Duration `env:"HTTP_READ_TIMEOUT" envDefault:"10s"`
	// HandlerTimeout is the deadline of a handler's context; after it the response is 503.
	HandlerTimeout time.Duration `env:"HTTP_HANDLER_TIMEOUT" envDefault:"15s"`
	// WriteTimeout is for a whole response, so it must exceed the handler's.
	WriteTimeout time.Duration `env:"HTTP_WRITE_TIMEOUT" envDefault:"30s"`
	// IdleTimeout is how long a kept-alive connection may rest.
	IdleTimeout time.Duration `env:"HTTP_IDLE_TIMEOUT" envDefault:"2m"`
	// DrainTimeout is how long requests under way may take to finish when the process stops.
	DrainTimeout time.Duration `env:"HTTP_DRAIN_TIMEOUT" envDefault:"20s"`
	// MaxBodyBytes is the largest request body; more is answered with 413. A façade has the same, and
	// more for a route with max_body.
	MaxBodyBytes int64 `env:"HTTP_MAX_BODY_BYTES" envDefault:"16384"`
	// MaxHeaderBytes is the largest request header; more is answered with 431.
	MaxHeaderBytes int `env:"HTTP_MAX_HEADER_BYTES" envDefault:"16384"`
	// CallerRate is how many requests a second each customer, and each of the staff, may send to this
	// process; more are answered with 429.
	CallerRate int `env:"HTTP_CALLER_RATE" envDefault:"100"`
	// CallerBurst is how many of them may come at once.
	CallerBurst int `env:"HTTP_CALLER_BURST" envDefault:"200"`
	// Docs serves each module's OpenAPI document and the page to try it. Anybody may read them.
	Docs bool `env:"HTTP_DOCS" envDefault:"true"`
	// LogKey keys the hashes of subjects in the access log. Without one they are of this process and
	// its life: no other process, and no later one, has the same.
	LogKey string `env:"LOG_KEY"`

	Edge        edge.Config      // of HTTP_ADDR, unless only a façade reaches it
	Handover    process.Handover // of the listening socket
	Certificate process.Certificate
	Auth        Auth
}

// Validate refuses a time for the response that ends before the handler's.
func (c Config) Validate() error {
	if c.WriteTimeout <= c.HandlerTimeout {
		return errors.New("HTTP_WRITE_TIMEOUT must be longer than HTTP_HANDLER_TIMEOUT, or answers are cut off")
	}
	return nil
}

// Server serves the modules that were mounted on it.
type Server struct {
	cfg       Config
	verifier  *Verifier
	rate      remote.Rate[Principal]
	log       *slog.Logger
	transient func(error) bool
	router    *chi.Mux
	internal  *chi.Mux // for services alone; the same as router if the address is
	listener  net.Listener
	inside    net.Listener      // of internal, nil for none of its own
	openAPI   map[string][]byte // of each module that was mounted
}

// New returns a server without modules. A nil verifier accepts no token: only public routes answer.
// An operation's error that transient reports as passing is answered with 503, others with 500.
func New(cfg Config, verifier *Verifier, log *slog.Logger, transient func(error) bool) *Server {
	configureHuma()
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 20*time.Second)
	cfg.LogKey = cmp.Or(cfg.LogKey, rand.Text())
	cfg.MaxBodyBytes = cmp.Or(cfg.MaxBodyBytes, 16<<10)
	cfg.MaxHeaderBytes = cmp.Or(cfg.MaxHeaderBytes, 16<<10)

	s := &Server{cfg: cfg, verifier: verifier, log: log, transient: transient,
		rate: remote.Rate[Principal]{PerSecond: cfg.CallerRate, Burst: cfg.CallerBurst}, openAPI: map[string][]byte{}}
	s.router = s.newRouter()
	s.internal = s.router
	if cfg.InternalAddr != cfg.Addr {
		s.internal = s.newRouter()
	}
	return s
}

func (s *Server) newRouter() *chi.Mux {
	router := chi.NewMux()
	// The order matters: nothing sees a forged header; inside of the span there is a trace id; observe
	// sees what rescue answers; and only what is inside of rescue may panic. net/http leaves out the
	// body for HEAD.
	router.Use(s.cfg.Proxies.Handler, otelhttp.NewMiddleware("http"), guard, s.observe, s.rescue, s.limit, decided, middleware.GetHead)
	router.NotFound(notFound)
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		methods := allowed(router, r.URL)
		if len(methods) == 0 { // chi looks at the method first, and does not know this one
			notFound(w, r)
			return
		}
		w.Header()["Allow"] = methods
		writeProblem(w, newProblem(r.Context(), http.StatusMethodNotAllowed, "method-not-allowed",
			"Use one of the methods in the Allow header."))
	})
	return router
}

// Handler returns the server without a listener, and without an internal address that is another
// one.
func (s *Server) Handler() http.Handler { return s.router }

// Listen binds the addresses, or takes over the sockets of another process, and returns HTTP_ADDR,
// with the port that was chosen for port 0.
func (s *Server) Listen() (addr string, err error) {
	s.listener, err = s.cfg.Handover.Listen(context.Background(), "HTTP_ADDR", s.cfg.Addr)
	if err == nil && s.internal != s.router && s.cfg.InternalAddr != "" {
		s.inside, err = s.cfg.Handover.Beside("internal").Listen(context.Background(), "HTTP_INTERNAL_ADDR", s.cfg.InternalAddr)
		if err != nil {
			_ = s.listener.Close()
		}
	}
	if err != nil {
		return "", err
	}
	return s.listener.Addr().String(), nil
}

// Run serves, after Listen, until ctx is done and then lets the requests under way finish, for at
// most the drain timeout. Once stopping is done, clients are asked to close their connections.
func (s *Server) Run(ctx, stopping context.Context) error {
	serving, ctx := errgroup.WithContext(ctx) // if one fails, both end
	serving.Go(func() error { return s.serve(ctx, stopping, s.router, s.listener) })
	if s.inside != nil {
		serving.Go(func() error { return s.serve(ctx, stopping, s.internal, s.inside) })
	}
	return serving.Wait()
}

func (s *Server) serve(ctx, stopping context.Context, router http.Handler, listener net.Listener) error {
	internal := router == s.internal
	server := &http.Server{
		Handler:        router,
		ReadTimeout:    s.cfg.ReadTimeout,
		WriteTimeout:   s.cfg.WriteTimeout,
		IdleTimeout:    s.cfg.IdleTimeout,
		MaxHeaderBytes: s.cfg.MaxHeaderBytes,
		TLSConfig:      s.cfg.Certificate.Server(internal),
	}
	if !internal {
		s.cfg.Edge.Protect(server, s.cfg.Proxies)
	}
	return process.ServeHTTP(ctx, stopping, s.log, server, listener, s.cfg.DrainTimeout)
}

// allowed returns the methods that the path has, which chi passes to its own handler only.
func allowed(router *chi.Mux, u *url.URL) (methods []string) {
	path := cmp.Or(u.RawPath, u.Path) // as chi chooses
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if !router.Match(chi.NewRouteContext(), method, path) {
			continue
		}
		if methods = append(methods, method); method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	return methods
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, newProblem(r.Context(), http.StatusNotFound, "no-such-route",
		"Nothing is served at this path. What is served is documented at /v1/MODULE/docs/, for each module."))
}
