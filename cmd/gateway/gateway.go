package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"example.com/shop/platform/traceparent"
)

// gateway answers every request with the table that was current when the request came.
//
//	client ──▶ match the route ──▶ choose a side ──▶ rewrite headers ──▶ send, perhaps again ──▶ upstream
//	            404 no route        by cookie, key     nothing forged       (resend.go)
//	            503 paused, full    or chance, past    gets through              └─ copies of some reads ──▶ shadow
//	                                who is out                                      (shadow.go)
type gateway struct {
	cfg     config
	log     *slog.Logger
	current atomic.Pointer[table]
	refused atomic.Pointer[string] // why the file as it is now was not taken; nil if it was
	proxy   *httputil.ReverseProxy
	direct  http.RoundTripper // to one upstream, once
	shadows *shadows
}

// newGateway reads the routes file for the first time; then it must be right.
func newGateway(cfg config, log *slog.Logger) (*gateway, error) {
	if cfg.MaxRequests < 1 || cfg.EjectAfter < 1 || min(cfg.Interval, cfg.EjectFor, cfg.ReadTimeout, cfg.AnswerTimeout, cfg.Timeout, cfg.IdleTimeout, cfg.ShadowTimeout) <= 0 {
		return nil, errors.New("no GATEWAY_ setting may be 0 or less: there would be no limit")
	}
	data, err := os.ReadFile(cfg.Routes)
	if err != nil {
		return nil, fmt.Errorf("read GATEWAY_ROUTES: %w", err)
	}
	first, err := newTable(cfg, data, &table{})
	if err != nil {
		return nil, fmt.Errorf("GATEWAY_ROUTES %s: %w", cfg.Routes, err)
	}
	g := &gateway{cfg: cfg, log: log, direct: newTransport(cfg.AnswerTimeout)}
	// Shadows have connections of their own, so that a slow one takes none away from clients.
	g.shadows = &shadows{newTransport(cfg.ShadowTimeout), cfg.ShadowTimeout, make(chan struct{}, shadowSlots)}
	g.current.Store(first)
	g.proxy = &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: resend{g}, ModifyResponse: g.answered, ErrorHandler: g.fail, BufferPool: &buffers{},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return g, nil
}

// newTransport has no Proxy: the environment's is for the outside world, and upstreams are inside.
func newTransport(answer time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		TLSHandshakeTimeout:    2 * time.Second,
		ResponseHeaderTimeout:  answer,
		MaxResponseHeaderBytes: 4 * maxHeader,
		MaxIdleConnsPerHost:    256,
		// Well below what an upstream allows: a POST on a connection that it is just closing fails and is not sent again.
		IdleConnTimeout:    30 * time.Second,
		DisableCompression: true, // an answer passes through as it is
	}
}

// plan is what was decided about one request before it is sent.
type plan struct {
	route  *route
	side   *side // where it goes first, and in the end who answered
	forced bool
	cookie *http.Cookie // for a client that could not be recognized
}

type planKey struct{}

// planOf is how httputil's hooks, which see nothing but the request, find what was decided about it.
func planOf(ctx context.Context) *plan { return ctx.Value(planKey{}).(*plan) }

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, underWay := g.enter(r.URL.Path)
	if route == nil {
		writeProblem(w, r, http.StatusNotFound, "no-such-route", "Nothing is served at this path.")
		return
	}
	if route.home != "" {
		defer route.underWay.Add(-1) // deferred, because a cut connection unwinds as a panic
	}
	p := &plan{route: route}
	if name := r.Header.Get(sideHeader); name != "" {
		p.side, p.forced = route.side(name), true
	} else if route.home != "" {
		p.side, p.cookie = route.choose(r)
	}
	// Whatever is refused here has reached no upstream, so a client may send it again without a thought.
	switch {
	case underWay > int64(g.cfg.MaxRequests):
		// Turned away and not queued: a queue would only make everybody wait until they no longer want the answer.
		writeProblem(w, r, http.StatusServiceUnavailable, "overloaded", "Too many requests are under way. Try again in a moment.")
	case p.forced && p.side == nil:
		writeProblem(w, r, http.StatusBadRequest, "no-such-side", "Name a side of this route in "+sideHeader+", or leave it out.")
	case p.forced && !safe(r) && p.side.Home != route.home:
		writeProblem(w, r, http.StatusConflict, "not-the-home", "Send writes without "+sideHeader+": this side would write to another database.")
	case p.side == nil:
		writeProblem(w, r, http.StatusServiceUnavailable, "paused", "This part of the shop is paused for a moment. Try again.")
	case r.Method == http.MethodConnect: // httputil sends none, and would say that its outcome is unknown
		writeProblem(w, r, http.StatusMethodNotAllowed, "method-not-allowed", "Use another method.")
	case r.ContentLength > maxBody:
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "body-too-large", "Send a smaller body.")
	default:
		ctx, cancel := context.WithTimeout(r.Context(), g.cfg.Timeout)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		// Nothing here speaks another protocol, and after a switch none of the limits would hold. httputil
		// refuses one that is no word, as if the upstream had failed.
		r.Header.Del("Upgrade")
		g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, planKey{}, p)))
	}
}

// enter finds the route of a path, nil for none, and counts the request in unless the route is paused: those that are only refused must
// not hold up the move. It looks again after it has counted, so that whoever is let in by a table that is just being replaced is either
// seen in under_way or goes by the new table.
func (g *gateway) enter(path string) (r *route, underWay int64) {
	for {
		t := g.current.Load()
		if r = t.match(path); r == nil || r.home == "" {
			return r, 0
		}
		underWay = r.underWay.Add(1)
		if g.current.Load() == t {
			return r, underWay
		}
		r.underWay.Add(-1)
	}
}

// sideHeader in a request forces a side, and in an answer says who gave it.
const sideHeader = "X-Seam-Upstream"

// safe requests change nothing, so they may be sent anywhere, and twice.
func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// rewrite removes what only a proxy may say and then says it. httputil has removed hop-by-hop headers already.
func rewrite(r *httputil.ProxyRequest) {
	// The trace that the client began, or that begins here, and nothing else that came with it.
	r.Out.Header.Del("Tracestate")
	r.Out.Header.Del("Baggage")
	traceparent.Propagator{}.Inject(r.Out.Context(), propagation.HeaderCarrier(r.Out.Header))
	for name := range r.Out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Seam-") || name == "X-Real-Ip" {
			r.Out.Header.Del(name)
		}
	}
	r.Out.Header.Del("Expect") // answered here when the body is read; a second 100 Continue would confuse the client
	r.SetXForwarded()
	r.Out.URL.RawQuery = r.In.URL.RawQuery // httputil drops what it cannot parse; refusing it is the module's business
}

// answered is called when an upstream's answer has begun.
func (g *gateway) answered(response *http.Response) error {
	p := planOf(response.Request.Context())
	p.side.served.Add(1)
	// Set and not added: what an upstream says about itself here is not to be believed.
	response.Header.Set(sideHeader, p.side.Upstream)
	if p.cookie != nil {
		response.Header.Add("Set-Cookie", p.cookie.String())
	}
	g.shadows.follow(p, response)
	return nil
}

// fail answers for an upstream that did not. What went wrong in detail is for the log: it names hosts.
func (g *gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "body-too-large", "Send a smaller body.")
		return
	case errors.As(err, new(uploadError)) && r.Context().Err() == nil:
		// It did arrive, and is wrong: to send it again, as a timeout invites to, would change
		// nothing.
		writeProblem(w, r, http.StatusBadRequest, "malformed-request", "Send a body in well-formed chunks.")
		return
	case errors.As(err, new(uploadError)), errors.Is(r.Context().Err(), context.Canceled):
		// The client has stopped sending, or has gone. The server reports both by ending the context, and for the first it still listens.
		writeProblem(w, r, http.StatusRequestTimeout, "request-timeout", "The body did not arrive whole in time. Send the request again.")
		return
	case isDial(err):
		writeProblem(w, r, http.StatusBadGateway, "no-upstream", "This part of the shop cannot be reached. Try again in a moment.")
	case os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded):
		writeProblem(w, r, http.StatusGatewayTimeout, "upstream-timeout", unknownOutcome)
	default:
		writeProblem(w, r, http.StatusBadGateway, "upstream-broken", unknownOutcome)
	}
	p := planOf(r.Context())
	g.log.WarnContext(r.Context(), "no answer", "route", p.route.name, "upstream", p.side.Upstream, "method", r.Method, "error", err.Error())
}

const unknownOutcome = "Whether the request was carried out is unknown. Send it again with the same Idempotency-Key, or read what it would have changed."
