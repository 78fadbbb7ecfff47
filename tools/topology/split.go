package topology

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"example.com/shop/architecture"
	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/natsbus"
	"example.com/shop/tools/routing"
)

// startSplit starts a system of several processes: the broker, then the services and the monolith
// with the other modules, then the façade.
func (s *System) startSplit(ctx context.Context, port int) error {
	if err := s.StartBroker(ctx); err != nil {
		return err
	}
	if err := s.prepareSchemas(ctx, natsbus.Name); err != nil {
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
	if err := s.writeRoutes(ctx); err != nil {
		return err
	}
	if s.Secret, err = Password(s.options.State, GatewaySecret); err != nil {
		return err
	}
	_, err = s.start(ctx, "gateway", nil, port, "GATEWAY_ROUTES="+s.Routes, "GATEWAY_SECRET="+s.Secret)
	return err
}

// StartBroker starts the broker and provisions it. Processes that start from now on get its URL and
// their modules' keys.
func (s *System) StartBroker(ctx context.Context) (err error) {
	s.say("Starting the broker …")
	o := broker.Options{
		Host: s.options.Host, Command: []string{filepath.Join(s.options.Bin, "seam"), "broker"},
		StoreDir: filepath.Join(s.options.State, "broker"), Log: s.options.Out,
	}
	if !s.options.OpenBroker {
		keys := filepath.Join(s.options.State, BrokerKeys)
		if s.Seeds, err = WriteBrokerUsers(keys); err != nil {
			return fmt.Errorf("write the broker's users: %w", err)
		}
		o.Users = filepath.Join(keys, broker.UsersFile)
		if s.options.TLS != "" {
			if o.Users, err = s.secureBroker(o.Users); err != nil {
				return err
			}
		}
	}
	s.Broker, err = broker.Start(ctx, o)
	if err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	s.closers = append(s.closers, s.Broker.Stop)
	return s.ProvisionBroker(ctx)
}

// ProvisionBroker makes the stream and the durables, as a broker without its store needs them.
func (s *System) ProvisionBroker(ctx context.Context) error {
	return s.run(ctx, "seam", "events provision", nil, s.seed(natsbus.Provisioner))
}

// writeRoutes routes each module's paths to its first process; a canary gets weight 0.
func (s *System) writeRoutes(ctx context.Context) error {
	file := routes.File{Upstreams: map[string]routes.Upstream{}, Routes: map[string]routes.Route{}}
	for _, p := range s.processes {
		file.Upstreams[p.Name] = routes.Upstream{URL: p.URL, Probe: p.OpsURL + "/readyz"}
		linked, err := describe(ctx, s.options.Bin, p.Name)
		if err != nil {
			return err
		}
		for _, m := range p.Serves {
			side := routes.Side{Upstream: p.Name, Weight: 100}
			if len(file.Routes[m].Sides) > 0 {
				side.Weight = 0
			}
			// Resend, because each module keeps the Idempotency-Keys that it takes (platform/idempotency).
			route := routes.Route{Prefix: "/v1/" + m, Resend: true, Sides: append(file.Routes[m].Sides, side)}
			if i := slices.IndexFunc(linked, func(d described) bool { return d.Module == m }); i >= 0 {
				if route.Internal, err = architecture.Internal(linked[i].OpenAPI); err != nil {
					return err
				}
			}
			file.Routes[m] = route
		}
	}
	return routing.Create(s.Routes, file)
}

// Route has the system follow another routes file, as seam route apply does.
func (s *System) Route(ctx context.Context, file routes.File) error {
	text, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	system := routing.System{File: s.Routes, Secret: s.Secret, Schemas: map[string]string{}}
	for _, m := range Modules {
		system.Schemas[m] = s.Plan.RuntimeURL(s.Admin(m), m)
	}
	for _, p := range s.processes {
		if p.Name == "gateway" {
			system.Facades = append(system.Facades, p.OpsURL)
		}
	}
	return system.Change(ctx, func(string, []byte) ([]byte, error) { return text, nil })
}
