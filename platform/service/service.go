// Package service starts and stops, in the right order, what every process needs: a bus, a web
// server, and for each module its pool, outbox and consumer.
package service

import (
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
	"example.com/shop/platform/telemetry"
	"example.com/shop/platform/web"
)

// Config holds the settings of every serving process.
type Config struct {
	// The most connections that each module's pool opens. Delivery opens two more, or one for a
	// module without an outbox, and readiness one.
	MaxConns int32 `env:"DATABASE_MAX_CONNS" envDefault:"16"`
	// Where /livez and /readyz listen, apart from the modules' routes.
	OpsAddr string `env:"OPS_ADDR" envDefault:"127.0.0.1:8081"`
	// How long the process still serves after the signal to stop, while /readyz fails: longer than
	// the façade or a load balancer takes to see that; 0 without one.
	DrainAfter time.Duration `env:"DRAIN_AFTER" envDefault:"2s"`
	// How long it may take to stop, with that: requests, then relays, then consumers and workers.
	// What is cut off is redelivered or retried.
	StopGrace time.Duration `env:"STOP_GRACE" envDefault:"25s"`

	Log       process.Log
	Telemetry telemetry.Config
	Web       web.Config
	Events    events.Config
}

// Validate refuses a pool without connections, and a drain that is longer than the whole stop.
func (c Config) Validate() error {
	if c.MaxConns < 1 {
		return errors.New("DATABASE_MAX_CONNS must be at least 1")
	}
	if c.DrainAfter < 0 || c.DrainAfter >= c.StopGrace {
		return errors.New("DRAIN_AFTER is a part of STOP_GRACE: it must be shorter, and not below 0")
	}
	return nil
}

// Bus connects modules: events.MemoryBus those of one process, which must serve them all, and
// natsbus.Bus those of any processes.
type Bus interface {
	message.Publisher
	Name() string // which each schema records
	Subscriber(module string) message.Subscriber
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

// Service is a process, to which modules are added before Run.
type Service struct {
	cfg        Config
	log        *slog.Logger
	bus        Bus
	server     *web.Server
	operations *process.Operations
	consuming  process.Stage
	relaying   process.Stage
	databases  []*postgres.DB
	probes     []*postgres.Probe
	flush      func()
}

// Open returns a process without modules. Close it, also without Run: that closes the bus, too.
// After an error the bus is closed already.
func Open(ctx context.Context, name string, bus Bus, log *slog.Logger, cfg Config) (_ *Service, err error) {
	s := &Service{
		cfg: cfg, log: log, bus: bus, operations: process.NewOperations(ctx, cfg.OpsAddr), flush: func() {},
	}
	s.operations.Check("bus", bus.Ready)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	flush, err := telemetry.Start(ctx, name, cfg.Telemetry, s.log)
	if err != nil {
		return nil, process.Usage(err)
	}
	s.flush = flush
	verifier, err := web.NewVerifier(ctx, cfg.Web.Auth)
	if err != nil {
		return nil, process.Usage(err)
	}
	s.server = web.New(cfg.Web, verifier, s.log, postgres.Transient)
	return s, nil
}

// Log returns the logger of a module.
func (s *Service) Log(module string) *slog.Logger { return s.log.With("module", module) }

// Database opens the module's database, and adds its readiness check. The schema must be as new as
// migrations and must belong to this process's bus.
func (s *Service) Database(ctx context.Context, module, url string, migrations fs.FS) (*postgres.DB, error) {
	db, err := postgres.Open(ctx, module, url, s.cfg.MaxConns, migrations)
	if err != nil {
		return nil, err
	}
	s.databases = append(s.databases, db)
	probe := postgres.NewProbe(db.Pool)
	s.probes = append(s.probes, probe)
	s.operations.Module(module, probe.Check)
	return db, events.RecordBus(ctx, db.Pool, s.bus.Name())
}

// Outbox returns the module's outbox, whose relay runs with the process.
func (s *Service) Outbox(db *postgres.DB) *events.Outbox {
	outbox := events.NewOutbox(db, s.bus, s.cfg.Events, s.Log(db.Module))
	s.relaying = append(s.relaying, outbox.Run)
	return outbox
}

// Serve adds the module: its routes, its consumer and its workers.
func (s *Service) Serve(ctx context.Context, db *postgres.DB, m Module) error {
	if err := s.server.Mount(db.Module, m.Routes); err != nil {
		return err
	}
	consumer := events.NewConsumer(db, s.bus.Subscriber(db.Module), m.Handlers(), s.cfg.Events, s.Log(db.Module))
	if err := consumer.Subscribe(ctx); err != nil {
		return err
	}
	s.consuming = append(s.consuming, consumer.Run)
	s.consuming = append(s.consuming, m.Workers()...)
	return nil
}

// Run serves until ctx ends. Stages stop in the reverse order: /readyz fails for DrainAfter,
// requests drain, relays finish their batch, then consumers and workers theirs.
func (s *Service) Run(ctx context.Context) error {
	if _, err := s.server.Listen(); err != nil {
		return process.Usage(err)
	}
	return process.Run(ctx, s.log, s.cfg.StopGrace,
		process.Stage{s.operations.Run},
		s.consuming,
		s.relaying,
		process.Stage{func(running context.Context) error { return s.server.Run(running, ctx) }},
		process.Stage{s.operations.Linger(s.cfg.DrainAfter)})
}

// Close closes the bus, which still acknowledges, then the pools, and sends the last spans.
func (s *Service) Close() {
	_ = s.bus.Close() // what it had not sent waits in the outboxes
	var closing sync.WaitGroup
	for _, db := range s.databases {
		closing.Go(db.Close)
	}
	for _, probe := range s.probes {
		closing.Go(probe.Close)
	}
	closed := make(chan struct{})
	go func() { closing.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(closeLimit):
		s.log.Warn("connections are still in use, and are cut off", "after", closeLimit.String())
	}
	s.flush()
}
