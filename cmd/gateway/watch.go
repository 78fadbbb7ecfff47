package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"example.com/shop/routes"
)

// watch takes changes of the routes file. It compares contents: a time of change can stay the same, and a mounted file may be a link
// whose target was exchanged, which is also why no notification of the file system is used.
func (g *gateway) watch(ctx context.Context) error {
	tick := time.NewTicker(g.cfg.Interval / 2) // it takes two to take a change
	defer tick.Stop()
	var seen []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			seen = g.reload(ctx, seen)
		}
	}
}

// reload puts the file's table in the place of the current one. A file that is wrong changes nothing, nor does one that is not what was
// seen the last time: somebody may be writing it, and half a file can be a right one.
func (g *gateway) reload(ctx context.Context, seen []byte) (read []byte) {
	current := g.current.Load() // nobody else stores one, so it is the latest
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
		if before := g.refused.Swap(&reason); before == nil || *before != reason { // said once
			g.log.ErrorContext(ctx, "the routes file is not taken, the routes stay as they were", "error", reason)
		}
		return data
	}
	g.current.Store(next)
	g.refused.Store(nil)
	g.log.InfoContext(ctx, "the routes have changed")
	return data
}

// statusPage is what GET /routes tells those who run the gateway.
type statusPage struct {
	File    string                 `json:"file"`
	Since   time.Time              `json:"since"`             // when these routes were taken
	Refused *string                `json:"refused,omitempty"` // why the file as it is now was not
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
	Ready    bool   `json:"ready"`   // the probe says so, and a connection came about since; or there is no probe
	Ejected  bool   `json:"ejected"` // its requests have failed, and it is used only where there is no other
	Failures int    `json:"failures_in_a_row"`
}

func (s *side) status() sideStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sideStatus{s.Side, s.spec.URL, s.served.Load(), !s.unready, !s.until.IsZero(), s.failures}
}

func (g *gateway) status() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t := g.current.Load()
		page := statusPage{g.cfg.Routes, t.since, g.refused.Load(), map[string]routeStatus{}}
		for _, r := range t.routes {
			s := routeStatus{Prefix: r.prefix, UnderWay: r.underWay.Load()}
			for _, side := range r.sides {
				s.Sides = append(s.Sides, side.status())
			}
			if r.shadow != nil {
				s.Shadow = r.shadowed.read()
			}
			page.Routes[r.name] = s
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(page)
	})
}
