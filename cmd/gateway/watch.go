package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

// watch applies changes of the routes file. It compares contents: a modification time can stay the
// same, and events of the file system miss a mounted link that gets a new target.
func (g *gateway) watch(ctx context.Context) error {
	var seen []byte
	return every(ctx, g.cfg.Interval/2, func() { seen = g.reload(ctx, seen) }) // a change is read twice before it is applied
}

// reload replaces the current table with the file's. It ignores an invalid file, and one that
// differs from what was read the last time: it may be half written, and still valid.
func (g *gateway) reload(ctx context.Context, seen []byte) (read []byte) {
	current := g.current.Load() // only this goroutine stores one
	data, err := os.ReadFile(g.cfg.Routes)
	if !bytes.Equal(data, seen) {
		return data
	}
	if err == nil && bytes.Equal(data, current.source) {
		g.refused.Store(nil)
		return data
	}
	var next *table
	if err == nil {
		next, err = newTable(g.cfg, data, current)
	}
	if err != nil {
		reason := err.Error()
		if before := g.refused.Swap(&reason); before == nil || *before != reason { // log it once
			g.log.ErrorContext(ctx, "the routes file is refused, the routes stay as they were", "error", reason)
		}
		return data
	}
	g.current.Store(next)
	g.refused.Store(nil)
	g.log.InfoContext(ctx, "the routes have changed")
	return data
}

// statusPage is the body of GET /routes, for operators.
type statusPage struct {
	File    string                 `json:"file"`
	Since   time.Time              `json:"since"`             // when these routes were applied
	Refused *string                `json:"refused,omitempty"` // why the present file was not
	Routes  map[string]routeStatus `json:"routes"`
}

type routeStatus struct {
	Prefix string `json:"prefix"`
	// UnderWay has to be 0 before a paused route's data is moved.
	UnderWay int64         `json:"under_way"`
	Sides    []sideStatus  `json:"sides"`
	Shadow   *routes.Tally `json:"shadow,omitempty"`
}

type sideStatus struct {
	routes.Side
	URL      string `json:"url"` // of the upstream
	Served   int64  `json:"served"`
	Ready    bool   `json:"ready"`   // by the probe and connections since; true without a probe
	Ejected  bool   `json:"ejected"` // after failed requests; used only if no other side is in
	Failures int    `json:"failures_in_a_row"`
}

func (s *side) status() sideStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sideStatus{s.Side, s.spec.URL, s.served.Load(), !s.unready, !s.until.IsZero(), s.failures}
}

// status answers GET /routes.
func (g *gateway) status(w http.ResponseWriter, _ *http.Request) {
	t := g.current.Load()
	page := statusPage{g.cfg.Routes, t.since, g.refused.Load(), map[string]routeStatus{}}
	for _, r := range t.routes {
		s := routeStatus{Prefix: r.prefix, UnderWay: r.underWay.Load()}
		for _, side := range r.sides {
			s.Sides = append(s.Sides, side.status())
		}
		if r.shadow != nil {
			r.shadowed.locked(func(t *routes.Tally) { s.Shadow = new(*t) })
		}
		page.Routes[r.name] = s
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page)
}
