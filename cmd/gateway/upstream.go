package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

// upstream is a process with its health. Each route has its own, since one module of a process may
// fail while the others serve. It outlives the tables that name it.
//
//	in ──ejectAfter failures in a row─────▶ out for ejectFor ──▶ one trial: in, or out again
//	in ──no connection, or a failed probe─▶ out until the probe succeeds: in
type upstream struct {
	cfg    config
	spec   routes.Upstream
	target *url.URL
	probe  string // of the route's module, if spec has a probe

	mu       sync.Mutex
	unready  bool      // by the last probe, or by a failed connection since
	logged   bool      // that it is unready
	failures int       // in a row
	until    time.Time // out until then; the zero time when in
}

// newUpstream returns a new upstream of a valid file, whose URLs can all be parsed.
func newUpstream(cfg config, module string, spec routes.Upstream) *upstream {
	return &upstream{cfg: cfg, spec: spec, target: spec.Target(), probe: spec.ModuleProbe(module)}
}

// admits reports whether the upstream may get a request now. After an ejection the first caller
// tries it, and the ejection starts anew for all others.
func (u *upstream) admits() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if u.unready || now.Before(u.until) {
		return false
	}
	if !u.until.IsZero() {
		u.until = now.Add(u.cfg.EjectFor)
	}
	return true
}

// record records the result of a request. After a failed connection an upstream with a probe is out
// until that succeeds, which is sooner than an ejection ends: in a rolling restart it must be back
// when the next process restarts.
func (u *upstream) record(failed, unconnected bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case unconnected && u.spec.Probe != "":
		u.unready = true
	case !failed:
		u.failures, u.until = 0, time.Time{}
	default:
		if u.failures++; u.failures >= u.cfg.EjectAfter {
			u.until = time.Now().Add(u.cfg.EjectFor)
		}
	}
}

// unavailable reports whether an answer says that the upstream cannot serve: 502, 503 or 504.
func unavailable(response *http.Response) bool {
	return http.StatusBadGateway <= response.StatusCode && response.StatusCode <= http.StatusGatewayTimeout
}

// isDial reports whether the connection failed, so that nothing was sent.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// probe probes all sides, at once and then at each interval, until ctx is done.
func (g *gateway) probe(ctx context.Context) error {
	tick := time.NewTicker(g.cfg.Interval)
	defer tick.Stop()
	for {
		var all sync.WaitGroup
		for _, r := range g.current.Load().routes {
			for _, s := range r.sides {
				if s.spec.Probe != "" && !r.internal { // it has its route's sides
					all.Go(func() { s.check(ctx, g.direct, g.log.With("route", r.name, "upstream", s.Upstream)) })
				}
			}
		}
		all.Wait()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// check probes the upstream once. One failed probe is enough to take it out, unlike a failed
// request: a process that is about to stop says so.
func (u *upstream) check(ctx context.Context, transport http.RoundTripper, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	status := ask(ctx, transport, u.probe)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // this process stops
	}
	ready := status == http.StatusOK
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case ready && u.logged:
		log.InfoContext(ctx, "the upstream is ready again")
	case !ready && !u.logged:
		log.WarnContext(ctx, "the upstream is not ready", "probe", u.spec.Probe, "status", status)
	}
	u.logged = !ready
	if ready && u.unready { // a restarted process: forget earlier failures
		u.failures, u.until = 0, time.Time{}
	}
	u.unready = !ready
}

const probeTimeout = time.Second

// ask returns the status of an answer, 0 for none. It reads the body to reuse the connection.
func ask(ctx context.Context, transport http.RoundTripper, probe string) (status int) {
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, probe, nil) // a checked URL
	if response, err := transport.RoundTrip(request); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10))
		_ = response.Body.Close()
		status = response.StatusCode
	}
	return status
}
