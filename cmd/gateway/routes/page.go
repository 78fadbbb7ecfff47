package routes

import "time"

// Page is a façade's answer to GET /routes: the routes that it has applied, for operators.
type Page struct {
	Since  time.Time            `json:"since"` // when they were applied
	Routes map[string]PageRoute `json:"routes"`
}

// PageRoute is a route with what was counted since the gateway started.
type PageRoute struct {
	Prefix   string     `json:"prefix"`
	Internal []string   `json:"internal,omitempty"`
	Resend   bool       `json:"resend,omitempty"`
	MaxBody  int64      `json:"max_body,omitempty"`
	UnderWay int64      `json:"under_way"` // requests, those to the internal parts, too
	Sides    []PageSide `json:"sides"`
	Shadow   *Tally     `json:"shadow,omitempty"`
}

// PageSide is a side with its health.
type PageSide struct {
	Side
	URL      string `json:"url"` // of the upstream
	Served   int64  `json:"served"`
	Ready    bool   `json:"ready"`   // by the probe and connections since; true without a probe
	Ejected  bool   `json:"ejected"` // after failed requests; used only if no other side is in
	Failures int    `json:"failures_in_a_row"`
}

// File returns the routes without what was counted, and without shadows and probes.
func (p Page) File() File {
	file := File{Upstreams: map[string]Upstream{}, Routes: map[string]Route{}}
	for name, r := range p.Routes {
		route := Route{Prefix: r.Prefix, Internal: r.Internal, Resend: r.Resend, MaxBody: r.MaxBody}
		for _, s := range r.Sides {
			file.Upstreams[s.Upstream] = Upstream{URL: s.URL}
			route.Sides = append(route.Sides, s.Side)
		}
		file.Routes[name] = route
	}
	return file
}

// Tally counts the results of a route's shadow since the gateway started.
type Tally struct {
	Compared   int64      `json:"compared"`
	Mismatched int64      `json:"mismatched"`
	Failed     int64      `json:"failed"`  // no answer from the shadow in time
	Dropped    int64      `json:"dropped"` // no slot was free, or the answer was too large
	Mismatches []Mismatch `json:"mismatches,omitempty"`
}

// Mismatch says where two answers differ. It has no values: those are customers' data.
type Mismatch struct {
	At       time.Time `json:"at"`
	Status   int       `json:"status"`
	Shadow   int       `json:"shadow_status"`
	Pointers []string  `json:"pointers,omitempty"`
}
