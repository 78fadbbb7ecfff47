package topology

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
)

// stopGrace is how long a process may take to stop: longer than its own STOP_GRACE.
const stopGrace = 40 * time.Second

const readyLimit = 60 * time.Second

// Process is one of the system's own processes.
type Process struct {
	*child.Process
	Name   string   // of its command
	Serves []string // the modules
	URL    string   // of its routes
	OpsURL string   // of /livez and /readyz

	Env []string // its own settings; a change takes effect at the next Restart
}

// StartMonolith starts one more process of the modules that are not split off, with settings of its
// own, and waits until it is ready. Port 0 is any free one.
func (s *System) StartMonolith(ctx context.Context, port int, env ...string) (*Process, error) {
	rest := except(s.options.Split)
	bus := events.Memory
	if s.Broker != nil {
		bus = natsbus.Name
	}
	return s.start(ctx, "monolith", rest, port, append(env, "MODULES="+strings.Join(rest, ","), "BUS="+bus)...)
}

// StartService starts a module as a process of its own and waits until it is ready.
func (s *System) StartService(ctx context.Context, module string) (*Process, error) {
	return s.start(ctx, module, []string{module}, 0)
}

// start starts a command that serves the modules on the port, and waits until it is ready; 0 is any
// free one.
func (s *System) start(ctx context.Context, name string, modules []string, port int, env ...string) (*Process, error) {
	port, err := freePort(ctx, port)
	if err != nil {
		return nil, err
	}
	opsPort, err := freePort(ctx, 0)
	if err != nil {
		return nil, err
	}
	if s.Broker != nil && name != "gateway" {
		env = append(env, "TRUSTED_PROXIES=127.0.0.1") // the façade
	}
	internal := s.at(port) // the same, where the façade keeps them apart
	if internal == s.URL {
		internal = s.InternalURL
	}
	_, internal, _ = strings.Cut(internal, "://")
	p := &Process{
		Name: name, Serves: modules, URL: s.at(port), OpsURL: fmt.Sprintf("http://127.0.0.1:%d", opsPort),
		Env: append(env,
			fmt.Sprintf("HTTP_ADDR=127.0.0.1:%d", port), fmt.Sprintf("GATEWAY_ADDR=127.0.0.1:%d", port),
			"HTTP_INTERNAL_ADDR="+internal, "GATEWAY_INTERNAL_ADDR="+internal,
			fmt.Sprintf("OPS_ADDR=127.0.0.1:%d", opsPort)),
	}
	if err := s.begin(p); err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, p.waitReady(ctx)
}

// Restart starts an ended process again, at the same addresses, and waits until it is ready.
func (s *System) Restart(ctx context.Context, p *Process) error {
	if err := s.begin(p); err != nil {
		return err
	}
	return p.waitReady(ctx)
}

func (s *System) begin(p *Process) (err error) {
	p.Process, err = child.Start(child.Options{
		Name: p.Name, Path: filepath.Join(s.options.Bin, p.Name), Args: []string{"serve"},
		Out: s.options.Out, Env: s.env("serve", p.Serves, p.Env...),
	})
	return err
}

func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	err := p.Await(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		if !p.ready(ctx) {
			return errors.New("it is not ready")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("start %s, %s at most: %w", p.Name, readyLimit, err)
	}
	return nil
}

func (p *Process) ready(ctx context.Context) bool {
	if p.ask(ctx, "/readyz") != http.StatusOK {
		return false
	}
	for _, m := range p.Serves {
		if p.ask(ctx, "/readyz/"+m) != http.StatusOK {
			return false
		}
	}
	return true
}

// ask returns the status of a page on OPS_ADDR, 0 for no answer.
func (p *Process) ask(ctx context.Context, page string) (status int) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.OpsURL+page, nil)
	if err != nil {
		return 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.Body.Close() != nil {
		return 0
	}
	return response.StatusCode
}

// Stop stops the process gracefully. It returns nil if the process had ended before.
func (p *Process) Stop() error {
	select {
	case <-p.Done():
		return nil
	default:
		return p.Process.Stop(stopGrace)
	}
}
