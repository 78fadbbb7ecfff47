package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"example.com/shop/routes"
)

// table is the routes file as it was when it was read. It never changes: a request that holds one is not affected by the next.
type table struct {
	source []byte
	since  time.Time
	routes []*route // the longest prefix first
}

type route struct {
	name    string
	prefix  string
	home    string // "" while it is paused
	written string // the home, or while it is paused the one before
	sides   []*side
	shadow  *shadow // nil for none
	// underWay counts requests over all tables. Before a paused route's data moves to its new home it has to be 0: what was let in
	// earlier may still write to the old one.
	underWay *atomic.Int64
	shadowed *counted // over all tables, too
}

// side is an upstream within a route.
type side struct {
	routes.Side
	*upstream
	served *atomic.Int64
}

// newTable builds the table of a file that is right and may follow the table before. Counters are
// carried over, and so is an upstream's health, unless its address has changed: then it is another
// process.
func newTable(cfg config, source []byte, before *table) (*table, error) {
	file, err := routes.Parse(source)
	if err != nil {
		return nil, err
	}
	t := &table{source: source, since: time.Now()}
	for name, r := range file.Routes {
		next := &route{name: name, prefix: r.Prefix, home: r.Home(), written: r.Home(), underWay: new(atomic.Int64), shadowed: &counted{}}
		known := before.at(r.Prefix) // and not by its name: requests know nothing but the path
		if known != nil {
			next.written = cmp.Or(next.home, known.written)
			next.underWay, next.shadowed = known.underWay, known.shadowed
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
	}
	slices.SortFunc(t.routes, func(a, b *route) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return t, t.follows(before)
}

// follows says why t may not take the place of the table before: a path would be written to in a new home while requests may still write
// to it in the old one.
func (t *table) follows(before *table) error {
	// The prefixes of both: by a route that comes or goes, a path can change its home as well.
	for _, r := range slices.Concat(before.routes, t.routes) {
		was, is := before.match(r.prefix), t.match(r.prefix)
		if was != nil && is != nil && is.home != "" && is.home != was.written && (was.home != "" || was.underWay.Load() > 0) {
			return fmt.Errorf("route %s: %w", is.name, routes.ErrMove)
		}
	}
	return nil
}

func (t *table) at(prefix string) *route {
	if i := slices.IndexFunc(t.routes, func(r *route) bool { return r.prefix == prefix }); i >= 0 {
		return t.routes[i]
	}
	return nil
}

func (r *route) side(upstream string) *side {
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.sides, func(s *side) bool { return s.Upstream == upstream }); i >= 0 {
		return r.sides[i]
	}
	return nil
}

// match finds the route of a path: /v1/payments has /v1/payments and /v1/payments/x, but not /v1/payments2.
func (t *table) match(path string) *route {
	// A handful of routes: going through them is faster than any tree, and the order of the file never matters.
	for _, r := range t.routes {
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(r.prefix, "/")); ok && (rest == "" || rest[0] == '/') {
			return r
		}
	}
	return nil
}

// canaryCookie recognizes a client, and says nothing about it.
const canaryCookie = "seam_canary"

// buckets is how finely clients are spread: 100 for each percent.
const buckets = 10_000

// choose picks the side for a request and, if its client could not be recognized, a cookie for the next time. A client stays on its
// side because that is pleasant, and nothing depends on it: both sides write to one home.
func (r *route) choose(request *http.Request) (*side, *http.Cookie) {
	if first := r.choice(0); first.Weight == 100 {
		return r.usable(first), nil // nobody has to be recognized
	}
	var fresh *http.Cookie
	known, err := request.Cookie(canaryCookie) // comes first, since a browser sends a new key with every order
	if err != nil {
		// From the key, so that a client that keeps no cookies stays with its key, and one that does stays where its key was.
		client := hash(cmp.Or(request.Header.Get("Idempotency-Key"), rand.Text()))
		//nolint:gosec // not Secure: TLS ends before the façade, and the value is worth nothing to a thief
		fresh = &http.Cookie{Name: canaryCookie, Value: strconv.FormatUint(client, 36), Path: "/", MaxAge: 30 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		known = fresh
	}
	bucket := hash(r.name+" "+known.Value) % buckets // with the route, or the same clients would be first in every canary
	return r.usable(r.choice(int(bucket))), fresh
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, text)
	return h.Sum64()
}

// choice gives the last side the lowest buckets, so that raising its weight only ever adds clients to it:
//
//	bucket   0         1000                                   9999
//	10 %     |── new ──|──────────────────── old ───────────────|
//	30 %     |─────────── new ───────────|───────── old ────────|
func (r *route) choice(bucket int) *side {
	for _, s := range slices.Backward(r.sides) {
		width := s.Weight * buckets / 100
		if bucket < width {
			return s
		}
		bucket -= width
	}
	return nil // not while the weights add up to 100
}

// usable is the wanted side, or another one with a weight while that one is out. When all are out it is the wanted one after all:
// an upstream that may fail is better than none.
func (r *route) usable(wanted *side) *side {
	if wanted.admits() {
		return wanted
	}
	return r.other(wanted, false)
}

// other is where to turn when a side is out or has failed: to one that is in or, if everything else is hopeless, to any that has a weight;
// to the same side if there is none.
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
