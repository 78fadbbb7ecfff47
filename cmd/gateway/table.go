package main

import (
	"cmp"
	"crypto/rand"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

// table is one version of the routes file. It is immutable: a request keeps it to its end.
type table struct {
	source []byte
	file   routes.File
	since  time.Time
	routes []*route // the longest prefix first
}

type route struct {
	name    string
	prefix  string
	sides   []*side
	shadow  *shadow // nil for none
	resend  bool
	maxBody int64
	// internal is whether it is for the shop's own processes, as a part of the route of this name.
	internal bool
	underWay *atomic.Int64 // requests, over all tables
	shadowed *counted      // over all tables, too
}

// defaultBody is the largest body of a route that does not say more.
const defaultBody = 16 << 10

type side struct {
	routes.Side
	*upstream
	served *atomic.Int64
}

// newTable builds the table of a valid file. It keeps the counters of the table before, and the
// health of upstreams with the same address and probe.
func newTable(cfg config, source []byte, before *table) (*table, error) {
	file, err := routes.Parse(source)
	if err != nil {
		return nil, err
	}
	t := &table{source: source, file: file, since: time.Now()}
	for name, r := range file.Routes {
		known := before.match(r.Prefix) // not by name: requests have only a path
		if known == nil || known.prefix != r.Prefix {
			known = &route{underWay: new(atomic.Int64), shadowed: &counted{}}
		}
		next := &route{
			name: name, prefix: r.Prefix, underWay: known.underWay, shadowed: known.shadowed,
			resend: r.Resend, maxBody: cmp.Or(r.MaxBody, defaultBody),
		}
		for _, s := range r.Sides {
			fresh := &side{s, newUpstream(cfg, r.Module(), file.Upstreams[s.Upstream]), new(atomic.Int64)}
			if earlier := known.side(s.Upstream); earlier != nil {
				fresh.served = earlier.served
				if earlier.spec == fresh.spec {
					fresh.upstream = earlier.upstream
				}
			}
			next.sides = append(next.sides, fresh)
		}
		if r.Shadow != nil {
			next.shadow = &shadow{*r.Shadow, file.Upstreams[r.Shadow.Upstream].Target()}
		}
		t.routes = append(t.routes, next)
		for _, prefix := range r.Internal {
			t.routes = append(t.routes, next.inside(prefix, before))
		}
	}
	slices.SortFunc(t.routes, func(a, b *route) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return t, nil
}

// inside returns the internal part of the route at a prefix. It has the route's sides, but its
// requests are counted apart: those from outside must not take their places.
func (r *route) inside(prefix string, before *table) *route {
	part := *r
	part.prefix, part.internal, part.underWay = prefix, true, new(atomic.Int64)
	if known := before.match(prefix); known != nil && known.prefix == prefix {
		part.underWay = known.underWay
	}
	return &part
}

func (r *route) side(upstream string) *side {
	if i := slices.IndexFunc(r.sides, func(s *side) bool { return s.Upstream == upstream }); i >= 0 {
		return r.sides[i]
	}
	return nil
}

// match returns the route of a path. /v1/parcels matches /v1/parcels/x, not /v1/parcels2.
func (t *table) match(path string) *route {
	// For a handful of routes a loop is faster than a tree.
	for _, r := range t.routes {
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(r.prefix, "/")); ok && (rest == "" || rest[0] == '/') {
			return r
		}
	}
	return nil
}

// canaryCookie keeps a client on its side, and says nothing about the client.
const canaryCookie = "seam_canary"

// buckets is how many groups of clients there are: 100 for each percent.
const buckets = 10_000

// choose picks the side for a request, and a cookie if the client has none. Clients stay on their
// side for convenience only: all sides write to the database where the module's data is.
func (r *route) choose(request *http.Request) (wanted *side, fresh *http.Cookie) {
	if wanted = r.choice(0); wanted.Weight < 100 { // or no cookie is needed
		known, err := request.Cookie(canaryCookie) // before the key, which is new with every request
		if err != nil {
			// Of the key, so that its retries stay on one side with or without the cookie.
			client := hash(cmp.Or(request.Header.Get("Idempotency-Key"), rand.Text()))
			//nolint:gosec // not Secure: TLS may end before the façade, and the value is no secret
			fresh = &http.Cookie{
				Name: canaryCookie, Value: strconv.FormatUint(client, 36), Path: "/",
				MaxAge: 30 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			}
			known = fresh
		}
		wanted = r.choice(int(hash(r.name+" "+known.Value) % buckets)) // other clients first in each route's canary
	}
	if !wanted.admits() {
		wanted = r.other(wanted, false)
	}
	return wanted, fresh
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, text)
	return h.Sum64()
}

// choice returns the side of a bucket. The last side has the lowest ones, so that more weight only
// adds clients to it:
//
//	bucket   0         1000                                   9999
//	10 %     |── new ──|──────────────────── old ───────────────|
//	30 %     |─────────── new ───────────|───────── old ────────|
func (r *route) choice(bucket int) *side {
	for _, s := range slices.Backward(r.sides) {
		if bucket -= s.Weight * buckets / 100; bucket < 0 {
			return s
		}
	}
	return nil // not while the weights add up to 100
}

// other returns a side that is in, instead of one that is out or has failed; if hopeless, any other
// with a weight; else the same one.
func (r *route) other(failed *side, hopeless bool) *side {
	last := failed
	for _, s := range r.sides {
		switch {
		case s == failed || s.Weight == 0:
		case s.admits():
			return s
		case hopeless:
			last = s
		}
	}
	return last
}
