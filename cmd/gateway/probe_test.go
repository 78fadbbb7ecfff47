package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/process"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	older, newer, ops := newServer(t), newServer(t), newServer(t)
	file := fmt.Sprintf(`
upstreams: { old: { url: %q }, new: { url: %q, probe: %q } }
routes: { things: { prefix: /v1/things, sides: [{ upstream: old, weight: 1, home: shop }, { upstream: new, weight: 99, home: shop }] } }
`, older.URL, newer.URL, ops.URL+"/readyz")
	b := start(t, file)
	side := func() string { return b.get(t, "/v1/things", "Cookie", canaryCookie+"=ada").side() }
	eventually(t, "the new side serves", func() bool { return side() == "new" })
	ops.answersStatus(http.StatusServiceUnavailable)
	eventually(t, "a side that is not ready gets no requests", func() bool { return side() == "old" })
	if b.health(t, "new").Ready {
		t.Error("the page says that it is ready")
	}
	ops.answersStatus(http.StatusOK)
	eventually(t, "the new side serves again", func() bool { return side() == "new" })
}

// A module of a monolith that cannot serve takes out its own route and no other.
func TestEachRouteAsksForItself(t *testing.T) {
	t.Parallel()
	older, newer, ops := newServer(t), newServer(t), newServer(t)
	var goods atomic.Int64 // the status of /readyz/goods
	goods.Store(http.StatusOK)
	ops.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz/goods" {
			w.WriteHeader(int(goods.Load()))
		}
	})
	b := start(t, fmt.Sprintf(`
upstreams: { old: { url: %q }, new: { url: %q, probe: %q } }
routes:
  things: { prefix: /v1/things, sides: [{ upstream: old, weight: 0, home: shop }, { upstream: new, weight: 100, home: shop }] }
  goods: { prefix: /v1/goods, sides: [{ upstream: old, weight: 1, home: shop }, { upstream: new, weight: 99, home: shop }] }
`, older.URL, newer.URL, ops.URL+"/readyz"), func(c *config) { c.EjectAfter, c.EjectFor = 2, time.Hour })
	goodsSide := func() string { return b.get(t, "/v1/goods", "Cookie", canaryCookie+"=ada").side() }
	expect := func(when, goods string) {
		t.Helper()
		eventually(t, when, func() bool { return goodsSide() == goods })
		if side := b.get(t, "/v1/things").side(); side != "new" || !b.health(t, "new").Ready {
			t.Errorf("%s: the other route is served by %s and its side is %+v", when, side, b.health(t, "new"))
		}
	}
	expect("both are ready", "new")
	goods.Store(http.StatusServiceUnavailable)
	expect("goods is not", "old")
	// An upstream of an earlier release has no probes of modules.
	goods.Store(http.StatusNotFound)
	expect("it has no such probe", "new")
	// Failures of one route do not count for another.
	newer.answers(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/goods") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	expect("goods fails", "old")
	if b.health(t, "new").Ejected || b.health(t, "new").Failures > 0 {
		t.Errorf("they count for the other route's side: %+v", b.health(t, "new"))
	}
}

// A process that no longer serves a module gets no requests for it. One of an earlier release,
// without probes of modules, does.
func TestAProcessWithoutTheModuleGetsNoRequests(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	older.answersStatus(http.StatusNotFound)
	operations := process.NewOperations(t.Context(), "")
	operations.Module("orders", func(context.Context) error { return nil })
	ops := httptest.NewServer(operations.Handler())
	t.Cleanup(ops.Close)
	b := start(t, fmt.Sprintf(`
upstreams: { old: { url: %q, probe: %q }, new: { url: %q } }
routes: { things: { prefix: /v1/things, sides: [{ upstream: old, weight: 50, home: shop }, { upstream: new, weight: 50, home: shop }] } }
`, older.URL, ops.URL+"/readyz", newer.URL))
	eventually(t, "the old side is out", func() bool { return !b.health(t, "old").Ready })
	for range 60 {
		if answer := b.get(t, "/v1/things"); answer.side() != "new" {
			t.Fatalf("%s answered %d", answer.side(), answer.status)
		}
	}
}

// Probes, one each second, reuse their connection.
func TestProbesKeepTheirConnection(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	ops := httptest.NewUnstartedServer(http.NotFoundHandler())
	ops.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	ops.Start()
	t.Cleanup(ops.Close)
	transport := newTransport(time.Second)
	t.Cleanup(transport.CloseIdleConnections)
	for range 100 {
		if status := ask(t.Context(), transport, ops.URL+"/readyz/things"); status != http.StatusNotFound {
			t.Fatalf("got %d", status)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("100 probes made %d connections", connections.Load())
	}
}

// The log has the probe's URL as in the file, and its status, whichever page failed.
func TestTheLogNamesTheProbe(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusServiceUnavailable} {
		ops := newServer(t)
		ops.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(status)
		})
		var log bytes.Buffer
		u := newUpstream(config{}, "things", routes.Upstream{URL: ops.URL, Probe: ops.URL + "/readyz"})
		u.check(t.Context(), http.DefaultTransport, slog.New(slog.NewTextHandler(&log, nil)))
		if !strings.HasSuffix(log.String(), "probe="+ops.URL+"/readyz status=503\n") {
			t.Errorf("%d: %s", status, log.String())
		}
	}
}
