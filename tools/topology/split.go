package topology

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// startSplit starts a system of several processes: the broker, then the services and the monolith
// with the other modules, then the façade.
func (s *System) startSplit(ctx context.Context, port int) error {
	if err := s.StartBroker(ctx); err != nil {
		return err
	}
	if err := s.useBus(ctx, natsbus.Name); err != nil {
		return err
	}
	for _, m := range s.options.Split {
		if _, err := s.StartService(ctx, m); err != nil {
			return err
		}
	}
	if len(s.options.Split) < len(Modules) {
		if _, err := s.StartMonolith(ctx, 0); err != nil {
			return err
		}
	}
	if m := s.options.Canary; m != "" {
		if _, err := s.StartService(ctx, m); err != nil {
			return err
		}
	}
	var err error
	if s.Routes, err = filepath.Abs(filepath.Join(s.options.State, "routes.yaml")); err != nil {
		return err
	}
	if err := s.writeRoutes(); err != nil {
		return err
	}
	gateway, err := s.start(ctx, "gateway", port, "GATEWAY_ROUTES="+s.Routes)
	if err != nil {
		return err
	}
	return gateway.waitReady(ctx)
}

// StartBroker starts the broker. Processes that start from now on get its URL.
func (s *System) StartBroker(ctx context.Context) (err error) {
	s.say("Starting the broker …")
	s.Broker, err = broker.Start(ctx, broker.Options{
		Host: s.options.Host, Command: []string{filepath.Join(s.options.Bin, "seam"), "broker"},
		StoreDir: filepath.Join(s.options.State, "broker"), Log: s.options.Out,
	})
	if err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	s.closers = append(s.closers, s.Broker.Stop)
	return nil
}

// writeRoutes routes each module's paths to its first process; a canary gets weight 0.
func (s *System) writeRoutes() error {
	file := routes.File{Upstreams: map[string]routes.Upstream{}, Routes: map[string]routes.Route{}}
	for _, p := range s.processes {
		file.Upstreams[p.Name] = routes.Upstream{URL: p.URL, Probe: p.OpsURL + "/readyz"}
		for _, m := range p.Serves {
			side := routes.Side{Upstream: p.Name, Weight: 100, Home: "shop"}
			if len(file.Routes[m].Sides) > 0 {
				side.Weight = 0
			}
			file.Routes[m] = routes.Route{Prefix: "/v1/" + m, Sides: append(file.Routes[m].Sides, side)}
		}
	}
	return routes.Create(s.Routes, file)
}

// useBus records the bus in every schema while no process of the system runs. A switch away from the
// broker first replays all events that the outboxes keep, because it is unknown which ones the
// broker had not delivered; modules ignore those that they have handled. Towards the broker there
// is no replay: what the memory bus published was handled.
func (s *System) useBus(ctx context.Context, bus string) error {
	cfg, err := process.Config[events.Config]()
	if err != nil {
		return err
	}
	// Older events are only there because nothing pruned them while the system was down. They are not
	// replayed, for their inbox rows may be pruned, too.
	kept := time.Now().Add(-cfg.OutboxRetention)
	for _, m := range Modules {
		pool, err := postgres.OpenAnyVersion(ctx, "seam", m, s.Plan.RuntimeURL(s.AdminURL, m), 2)
		if err != nil {
			return fmt.Errorf("choose the bus: %w", err)
		}
		err = events.RecordBus(ctx, pool, bus, Modules)
		if errors.Is(err, events.ErrOtherBus) {
			err = nil
			if bus == events.Memory { // first: an interrupted start replays the next time
				var again int64
				if again, err = events.Replay(ctx, pool, kept, func(int64) {}); again > 0 {
					s.say("Leaving the broker: %d events of %s are replayed, before what is new …", again, m)
				}
			}
			if err == nil {
				err = events.SwitchBus(ctx, pool, bus)
			}
		}
		pool.Close()
		if err != nil {
			return fmt.Errorf("choose the bus of %s: %w", m, err)
		}
	}
	return nil
}
