package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"example.com/shop/cmd/gateway/routes"
)

// replace answers PUT /routes: it replaces the current table with that of the routes file in the
// body, and answers once all new requests use it. A mistake changes nothing.
func (g *gateway) replace(w http.ResponseWriter, r *http.Request) {
	if g.cfg.Secret == "" {
		writeProblem(w, r, http.StatusForbidden, "no-secret",
			"This façade takes no routes while it runs. Set GATEWAY_SECRET and restart it.")
		return
	}
	if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !g.isSecret(secret) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeProblem(w, r, http.StatusUnauthorized, "not-the-secret", "Send the façade's GATEWAY_SECRET as a bearer token.")
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, routes.MaxBody))
	if err != nil {
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "body-too-large", "Send a whole routes file, of at most 1 MiB.")
		return
	}
	g.change.Lock()
	defer g.change.Unlock()
	if err := g.apply(r.Context(), data); err != nil {
		g.log.WarnContext(r.Context(), "the routes are refused, and stay as they were", "error", err.Error())
		writeProblem(w, r, http.StatusUnprocessableEntity, "routes-refused", err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// isSecret reports whether this is the gateway's secret, which only operators know.
func (g *gateway) isSecret(text string) bool {
	return g.cfg.Secret != "" && subtle.ConstantTimeCompare([]byte(text), []byte(g.cfg.Secret)) == 1
}

// apply makes the table of the routes file the current one.
func (g *gateway) apply(ctx context.Context, file []byte) error {
	current := g.current.Load()
	if bytes.Equal(file, current.source) {
		return nil
	}
	next, err := newTable(g.cfg, file, current)
	if err == nil {
		err = g.probeNew(ctx, next, current).Unserved(false)
	}
	if err != nil {
		return err
	}
	g.current.Store(next)
	g.log.InfoContext(ctx, "the routes have changed", "weights", next.file.Weights())
	return nil
}

// probeNew asks the sides that have got a weight whether they serve their route's module.
func (g *gateway) probeNew(ctx context.Context, next, current *table) routes.Answers {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return next.file.Probe(current.file, func(url string) int { return ask(ctx, g.direct, url) })
}

// status answers GET /routes.
func (g *gateway) status(w http.ResponseWriter, _ *http.Request) {
	t := g.current.Load()
	page := routes.Page{Since: t.since, Routes: map[string]routes.PageRoute{}}
	for _, r := range t.routes {
		s, spec := page.Routes[r.name], t.file.Routes[r.name]
		s.UnderWay += r.underWay.Load()
		if !r.internal { // what else a part has is its route's
			s.Prefix, s.Internal, s.Resend, s.MaxBody = spec.Prefix, spec.Internal, spec.Resend, spec.MaxBody
			for _, side := range r.sides {
				s.Sides = append(s.Sides, side.status())
			}
			if r.shadow != nil {
				r.shadowed.locked(func(t *routes.Tally) { s.Shadow = new(*t) })
			}
		}
		page.Routes[r.name] = s
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page)
}

func (s *side) status() routes.PageSide {
	s.mu.Lock()
	defer s.mu.Unlock()
	return routes.PageSide{
		Side: s.Side, URL: s.spec.URL, Served: s.served.Load(), Ready: !s.unready, Ejected: !s.until.IsZero(), Failures: s.failures,
	}
}
