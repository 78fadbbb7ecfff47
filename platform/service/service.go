// Package service starts and stops, in the right order, what every process needs: a bus, a web
// server, and for each module its pool, outbox and consumer.
package service

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/danielgtaylor/huma/v2"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/share"
	"example.com/shop/platform/telemetry"
	"example.com/shop/platform/web"
)

// Config holds the settings of every serving process.
type Config struct {
	// The connections of each module's pool, open all the time. Delivery opens two more, or one for a
	// module without an outbox, and readiness one.
	MaxConns int32 `env:"DATABASE_MAX_CONNS" envDefault:"8"`
	// Where /livez and /readyz listen, apart from the modules' routes.
	OpsAddr string `env:"OPS_ADDR" envDefault:"127.0.0.1:8081"`
	// How long the process still serves after the signal to stop, while /readyz fails: longer than
	// the façade or a load balancer takes to see that; 0 without one.
	DrainAfter time.Duration `env:"DRAIN_AFTER" envDefault:"2s" min:"0"`
	// How long it may take to stop, with that: requests, then relays, then consumers and workers.
	// What is cut off is redelivered or retried.
	StopGrace time.Duration `env:"STOP_GRACE" envDefault:"25s"`
	// What the façade's routes call this process during a canary; the program's name, if unset.
	Side string `env:"SIDE"`

	Log       process.Log
	Telemetry telemetry.Config
	Web       web.Config
	Events    events.Config
}

// Validate refuses a drain that is longer than the whole stop.
func (c Config) Validate() error {
	if c.DrainAfter >= c.StopGrace {
		return errors.New("DRAIN_AFTER is a part of STOP_GRACE: it must be shorter")
	}
	return nil
}

// Bus connects modules: events.MemoryBus those of one process, which must serve them all, and
// natsbus.Bus those of any processes.
type Bus interface {
	message.Publisher
	message.Subscriber
	Name() string // which each schema records
	Ready(ctx context.Context) error
}

// Module is a bounded context, as the process that serves it needs it.
type Module interface {
	Routes(api huma.API)
	Publishes() []events.Event // one of each type that it publishes, its fields empty
	Handlers() []events.Handler
	Workers() []func(context.Context) error // its background loops
}

// closeLimit bounds how long pools are closed: what was cut off may hold a connection for good.
const closeLimit = 2 * time.Second

// host is a process, to which modules are added before run.
type host struct {
	cfg        Config
	log        *slog.Logger
	buses      map[string]Bus // of each module; one in memory is all of them
	serves     []string       // the modules
	verifier   *web.Verifier
	server     *web.Server
	operations *process.Operations
	consuming  process.Stage
	relaying   process.Stage
	databases  []*postgres.DB
	side       string
	probes     map[string]*postgres.Probe
	flush      func()
}

// openHost returns a process without modules. Close it, also without run: that closes the buses,
// too. After an error they are closed already.
func openHost(ctx context.Context, name string, buses map[string]Bus, log *slog.Logger, cfg Config) (_ *host, err error) {
	h := &host{
		cfg: cfg, log: log, buses: buses, operations: process.NewOperations(ctx, cfg.OpsAddr), flush: func() {},
		side: cmp.Or(cfg.Side, name), probes: map[string]*postgres.Probe{},
	}
	h.operations.Handover = cfg.Web.Handover
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	flush, err := telemetry.Start(ctx, name, cfg.Telemetry, h.log)
	if err != nil {
		return nil, process.Usage(err)
	}
	h.flush = flush
	if h.verifier, err = web.NewVerifier(cfg.Web.Auth); err != nil {
		return nil, process.Usage(err)
	}
	h.operations.Check("the issuer of tokens", h.verifier.Ready)
	h.server = web.New(cfg.Web, h.verifier, h.log, postgres.Transient)
	return h, nil
}

// database opens the module's database, adds its readiness check, and joins in its work. The schema
// must be as new as migrations, must belong to this process's bus, and must know of no module that
// this cannot reach.
func (h *host) database(ctx context.Context, module, url string, migrations fs.FS) (*postgres.DB, error) {
	db, err := postgres.Open(ctx, module, url, h.cfg.MaxConns, migrations)
	if err != nil {
		return nil, err
	}
	h.databases = append(h.databases, db)
	h.consuming = append(h.consuming, db.Follow)
	probe := postgres.NewProbe(db)
	h.probes[module] = probe
	h.operations.Module(module, h.noteBus(db, func(ctx context.Context) error {
		return cmp.Or(probe.Check(ctx), h.buses[module].Ready(ctx), db.Reaches())
	}))
	if err := events.RecordBus(ctx, db, h.buses[module].Name(), h.serves); err != nil {
		return nil, err
	}
	db.Side, err = share.Join(ctx, db, module, h.side)
	return db, err
}

// outbox returns the module's outbox, whose relay runs with the process.
func (h *host) outbox(db *postgres.DB) *events.Outbox {
	outbox := events.NewOutbox(db, h.buses[db.Module], h.cfg.Events, h.log.With("module", db.Module))
	h.relaying = append(h.relaying, outbox.Run)
	return outbox
}

// serve adds the module: its routes, its consumer and its workers.
func (h *host) serve(ctx context.Context, db *postgres.DB, m Module) error {
	routes := func(api huma.API) {
		api.UseMiddleware(func(hc huma.Context, next func(huma.Context)) { db.Side.Requested(); next(hc) })
		m.Routes(api)
	}
	if err := h.server.Mount(db.Module, routes); err != nil {
		return err
	}
	consumer := events.NewConsumer(db, h.buses[db.Module], m.Handlers(), h.cfg.Events, h.log.With("module", db.Module))
	if err := errors.Join(db.Side.Announce(ctx), consumer.Subscribe(ctx)); err != nil {
		return err
	}
	h.consuming = append(h.consuming, consumer.Run, func(ctx context.Context) error {
		return db.Side.Run(ctx, h.probes[db.Module].Ask, h.log.With("module", db.Module))
	})
	for _, loop := range m.Workers() {
		h.consuming = append(h.consuming, db.Side.While(loop))
	}
	return nil
}

// run serves until ctx ends. Stages stop in the reverse order: /readyz fails for DrainAfter,
// requests drain, relays finish their batch, then consumers and workers theirs.
func (h *host) run(ctx context.Context) error {
	if _, err := h.server.Listen(); err != nil {
		return process.Usage(err)
	}
	return process.Run(ctx, h.log, h.cfg.StopGrace,
		process.Stage{h.operations.Run, func(ctx context.Context) error { return h.verifier.Run(ctx, h.log) }},
		h.consuming,
		h.relaying,
		process.Stage{func(running context.Context) error { return h.server.Run(running, ctx) }},
		process.Stage{h.operations.Linger(h.cfg.DrainAfter)})
}

// close closes the buses, which still acknowledge, then the pools, and sends the last spans.
func (h *host) close() {
	_ = closeAll(h.buses) // what they had not sent waits in the outboxes
	var closing sync.WaitGroup
	for _, db := range h.databases {
		closing.Go(func() {
			_ = db.Side.Leave(context.Background()) // or it is taken for alive for ten seconds
			db.Close()
		})
	}
	for _, probe := range h.probes {
		closing.Go(probe.Close)
	}
	closed := make(chan struct{})
	go func() { closing.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(closeLimit):
		h.log.Warn("connections are still in use, and are cut off", "after", closeLimit.String())
	}
	h.flush()
}
