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

	"example.com/shop/routes"
)

// upstream is a process as one route has it, and what is known about its health. One module of a
// process may fail while the others serve, so each route has its own. It outlives the tables that
// name it.
//
//	in ──ejectAfter failures in a row──────────▶ out for ejectFor ──▶ one request tries it: in, or out once more
//	in ──no connection, or not ready by probe──▶ out until the probe says ready: in
type upstream struct {
	spec       routes.Upstream
	target     *url.URL
	probe      string // whether the process can serve the route's module, if spec has a probe
	ejectAfter int
	ejectFor   time.Duration

	mu       sync.Mutex
	unready  bool      // the probe's last word, or no connection came about since
	logged   bool      // that it is not ready
	failures int       // in a row
	until    time.Time // out until then; the zero time when in
}

// newUpstream is for a file that is right, so every URL in it can be parsed.
func newUpstream(cfg config, module string, spec routes.Upstream) *upstream {
	probe, _ := url.JoinPath(spec.Probe, module) // which may be ""
	return &upstream{spec: spec, target: spec.Target(), probe: probe, ejectAfter: cfg.EjectAfter, ejectFor: cfg.EjectFor}
}

// admits says whether the upstream should be sent a request now. After a pause the one who asks first is the one who tries: the
// pause begins anew for all others, so there is nothing to give back when that request is never answered.
func (u *upstream) admits() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if u.unready || now.Before(u.until) {
		return false
	}
	if !u.until.IsZero() {
		u.until = now.Add(u.ejectFor)
	}
	return true
}

// record takes note of how a request went, and whether it failed because no connection came about. Then the probe will tell when it is
// back, which is sooner than a pause ends: after a quick restart nobody may be left out when the next one is restarted.
func (u *upstream) record(failed, unheard bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case unheard && u.spec.Probe != "":
		u.unready = true
	case !failed:
		u.failures, u.until = 0, time.Time{}
	default:
		if u.failures++; u.failures >= u.ejectAfter {
			u.until = time.Now().Add(u.ejectFor)
		}
	}
}

// unavailable are the answers by which an upstream, or what stands before it, says that it cannot
// serve: 502, 503 and 504.
func unavailable(response *http.Response) bool {
	return http.StatusBadGateway <= response.StatusCode && response.StatusCode <= http.StatusGatewayTimeout
}

// isDial says that no connection came about, so the request was not sent.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// probe asks all upstreams whether they are ready, again and again.
func (g *gateway) probe(ctx context.Context) error {
	tick := time.NewTicker(g.cfg.Interval)
	defer tick.Stop()
	for {
		var all sync.WaitGroup
		for _, r := range g.current.Load().routes {
			for _, s := range r.sides {
				if s.spec.Probe != "" {
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

// check asks the probe once. Each answer counts by itself, unlike those to requests: it says
// whether the process wants any, as when it is about to stop.
func (u *upstream) check(ctx context.Context, transport http.RoundTripper, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status := ask(ctx, transport, u.probe)
	if status == http.StatusNotFound { // from a release before: later ones answer 503 for a module that they do not serve
		status = ask(ctx, transport, u.spec.Probe)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return // not its fault: this process stops
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
	if ready && u.unready { // it was away and has come back: nothing is held against it, unlike a process that answers badly
		u.failures, u.until = 0, time.Time{}
	}
	u.unready = !ready
}

// ask returns the status of the answer, 0 for none. What else the answer says is thrown away: only
// then is its connection used again.
func ask(ctx context.Context, transport http.RoundTripper, probe string) (status int) {
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, probe, nil) // of an address that the file's check has parsed
	if response, err := transport.RoundTrip(request); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10))
		_ = response.Body.Close()
		status = response.StatusCode
	}
	return status
}
