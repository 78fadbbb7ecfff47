package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"example.com/shop/platform/remote"
	"example.com/shop/platform/traceparent"
)

// gateway routes each request by the table that was current when the request arrived.
//
//	client ──▶ receive ──▶ match route ──▶ choose side ──▶ rewrite headers ──▶ send ──▶ upstream
//	           the body    404 none        by cookie,      drop forged ones    (resend.go)
//	(receive.go)           503 full        key or chance,                       └─ copies of reads ──▶ shadow
//	                                       not ejected                             (shadow.go)
type gateway struct {
	cfg     config
	log     *slog.Logger
	current atomic.Pointer[table]
	change  sync.Mutex   // one change of the table at a time
	bodies  remote.Slots // for bodies that are still arriving
	rate    remote.Rate[netip.Prefix]
	buffers buffers
	direct  http.RoundTripper // to one upstream, once
	shadows http.RoundTripper // of its own: a slow shadow must not take connections from clients
	slots   chan struct{}     // one for each answer that is being copied or compared
}

// newGateway reads the routes file, which must be valid. A route may lead to processes that cannot
// be reached yet, but not to those alone that answer that they do not serve it.
func newGateway(ctx context.Context, cfg config, log *slog.Logger) (*gateway, error) {
	data, err := os.ReadFile(cfg.Routes)
	if err != nil {
		return nil, fmt.Errorf("read GATEWAY_ROUTES: %w", err)
	}
	g := &gateway{
		cfg: cfg, log: log, bodies: remote.Slots{Most: cfg.MaxBodies}, slots: make(chan struct{}, shadowSlots),
		rate:   remote.Rate[netip.Prefix]{PerSecond: cfg.AddressRate, Burst: 2 * cfg.AddressRate},
		direct: newTransport(cfg, cfg.AnswerTimeout), shadows: newTransport(cfg, cfg.ShadowTimeout),
	}
	first, err := newTable(cfg, data, &table{})
	if err == nil {
		err = g.probeNew(ctx, first, &table{}).Unserved(true)
	}
	if err != nil {
		return nil, fmt.Errorf("GATEWAY_ROUTES %s: %w", cfg.Routes, err)
	}
	g.current.Store(first)
	return g, nil
}

func newTransport(cfg config, answer time.Duration) *http.Transport {
	t := cfg.Certificate.Transport()
	t.ResponseHeaderTimeout, t.MaxResponseHeaderBytes = answer, 4*maxHeader
	t.DisableCompression = true // an answer passes through as it is
	return t
}

// exchange is one request and its answer.
type exchange struct {
	*gateway
	route  *route
	body   []byte
	side   *side // where it goes, and at the end which side answered
	forced bool
	cookie *http.Cookie // for a client that has none yet
	// operator is whether the request has the secret, so that it may choose its side and learn it.
	operator bool
}

// door is one of the gateway's two listeners. Each serves the routes that the other one does not.
type door struct {
	*gateway
	internal bool
}

func (g door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, whole := g.receive(w, r)
	if !whole {
		return
	}
	route := g.current.Load().match(r.URL.Path)
	if route == nil || route.internal != g.internal {
		writeProblem(w, r, http.StatusNotFound, "no-such-route", "Nothing is served at this path.")
		return
	}
	underWay := route.underWay.Add(1)
	defer route.underWay.Add(-1) // deferred, because a cut connection unwinds as a panic
	x := &exchange{gateway: g.gateway, route: route, body: body, operator: g.isSecret(r.Header.Get(secretHeader))}
	if name := r.Header.Get(sideHeader); name != "" && x.operator {
		x.side, x.forced = route.side(name), true
	} else {
		x.side, x.cookie = route.choose(r)
	}
	// A request refused here has reached no upstream, so the client may safely retry.
	switch {
	case underWay > int64(g.cfg.MaxRequests):
		// Not queued: in a queue all requests would wait until their clients give up.
		writeProblem(w, r, http.StatusServiceUnavailable, "overloaded", "Too many requests are under way. Try again in a moment.")
	case x.side == nil:
		writeProblem(w, r, http.StatusBadRequest, "no-such-side", "Name a side of this route in "+sideHeader+", or leave it out.")
	default:
		ctx, cancel := context.WithTimeout(r.Context(), g.cfg.Timeout)
		defer cancel()
		// After a switch of protocols no limit would hold. And for httputil a malformed Upgrade is
		// the upstream's failure.
		r.Header.Del("Upgrade")
		proxy := httputil.ReverseProxy{
			Rewrite: rewrite, Transport: x, ModifyResponse: x.answered, ErrorHandler: x.fail, BufferPool: &g.buffers,
			ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
		}
		proxy.ServeHTTP(w, r.WithContext(ctx))
	}
}

const (
	// sideHeader forces a side in a request, and names it in an answer: both for operators alone,
	// whose requests have the gateway's secret in secretHeader.
	sideHeader   = "X-Seam-Upstream"
	secretHeader = "X-Seam-Secret" //nolint:gosec // a name
)

// safe reports whether a request changes nothing, so that it may go to any side, and twice.
func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// rewrite adds forwarding headers; a client's are removed before. httputil has removed hop-by-hop
// headers already.
func rewrite(r *httputil.ProxyRequest) {
	// The client's trace, or a new one.
	traceparent.Propagator{}.Inject(r.Out.Context(), propagation.HeaderCarrier(r.Out.Header))
	for name := range r.Out.Header {
		if strings.HasPrefix(name, "X-Seam-") {
			r.Out.Header.Del(name)
		}
	}
	r.Out.Header.Del("Expect") // answered here when the body is read
	r.SetXForwarded()
	r.Out.URL.RawQuery = r.In.URL.RawQuery // unchanged: httputil drops what it cannot parse
}

// answered counts an upstream's answer, sets its headers and may copy it for the shadow.
func (x *exchange) answered(response *http.Response) error {
	x.side.served.Add(1)
	response.Header.Del(sideHeader) // the upstream's own value is not trusted
	if x.operator {
		response.Header.Set(sideHeader, x.side.Upstream)
	}
	if x.cookie != nil {
		response.Header.Add("Set-Cookie", x.cookie.String())
	}
	x.follow(response)
	return nil
}

// fail answers a request that got no answer. The error is only logged, because it names hosts.
func (x *exchange) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(r.Context().Err(), context.Canceled):
		writeProblem(w, r, http.StatusRequestTimeout, "request-timeout", "The client went away. Send the request again.")
		return
	case isDial(err):
		writeProblem(w, r, http.StatusBadGateway, "no-upstream",
			"This part of the system cannot be reached. Try again in a moment.")
	case os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded):
		writeProblem(w, r, http.StatusGatewayTimeout, "upstream-timeout", unknownOutcome)
	default:
		writeProblem(w, r, http.StatusBadGateway, "upstream-broken", unknownOutcome)
	}
	x.log.WarnContext(r.Context(), "no answer", "route", x.route.name, "upstream", x.side.Upstream, "method", r.Method, "error", err.Error())
}

const unknownOutcome = "Whether the request was carried out is unknown. Send it again with the same Idempotency-Key, or read what it would have changed."
