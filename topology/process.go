package topology

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"example.com/shop/platform/devkit/child"
)

// stopGrace is how long a process may take to finish what it has under way.
const stopGrace = 30 * time.Second

// readyLimit is how long a process may take to become ready.
const readyLimit = 60 * time.Second

// Process is one of the shop's own processes, ready when it was started.
type Process struct {
	*child.Process
	URL    string // of its routes
	OpsURL string // of /livez and /readyz
}

// StartMonolith starts one more process that serves all modules on the port, any free one for 0, and waits until it is ready.
func (s *Shop) StartMonolith(ctx context.Context, port int) (*Process, error) {
	port, err := freePort(ctx, port)
	if err != nil {
		return nil, err
	}
	opsPort, err := freePort(ctx, 0)
	if err != nil {
		return nil, err
	}
	p := &Process{URL: fmt.Sprintf("http://127.0.0.1:%d", port), OpsURL: fmt.Sprintf("http://127.0.0.1:%d", opsPort)}
	if err := s.begin(p); err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, p.waitReady(ctx)
}

// Restart starts a process that has ended again, at the same addresses, and waits until it is ready.
func (s *Shop) Restart(ctx context.Context, p *Process) error {
	if err := s.begin(p); err != nil {
		return err
	}
	return p.waitReady(ctx)
}

func (s *Shop) begin(p *Process) (err error) {
	p.Process, err = child.Start(child.Options{
		Name: "monolith", Path: filepath.Join(s.options.Bin, "monolith"), Args: []string{"serve"}, Out: s.options.Out,
		Env: s.env("HTTP_ADDR="+strings.TrimPrefix(p.URL, "http://"), "OPS_ADDR="+strings.TrimPrefix(p.OpsURL, "http://")),
	})
	return err
}

// waitReady returns when /readyz says so, or says why that will not happen.
func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		select {
		case <-p.Done():
			return fmt.Errorf("it did not start: %w", p.Err())
		case <-ctx.Done():
			return fmt.Errorf("monolith is not ready after %s", readyLimit)
		case <-time.After(20 * time.Millisecond):
			if p.ready(ctx) {
				return nil
			}
		}
	}
}

func (p *Process) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.OpsURL+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Stop asks the process to finish, and returns nil if it did or had ended before.
func (p *Process) Stop() error {
	select {
	case <-p.Done():
		return nil
	default:
		return p.Process.Stop(stopGrace)
	}
}
