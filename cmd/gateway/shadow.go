package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"example.com/shop/routes"
)

// shadow is where copies of a route's reads go.
type shadow struct {
	routes.Shadow
	target *url.URL
}

// shadows sends copies and compares answers, in the background and behind a queue that drops what it cannot take: a shadow that is
// slow or dead costs its own numbers, and no client anything.
type shadows struct {
	transport http.RoundTripper
	timeout   time.Duration
	queue     chan sample

	mu      sync.Mutex
	tallies map[string]*routes.Tally // by route
}

const (
	shadowWorkers = 4
	shadowQueue   = 64
	// Answers that are larger than this are not compared.
	maxShadowBody = 256 << 10
	// The latest mismatches are kept, and of each the first pointers.
	maxMismatches = 10
	maxPointers   = 20
)

// sample is an answered request that waits for its comparison.
type sample struct {
	route   *route
	request *http.Request
	status  int
	body    []byte
}

func newShadows(transport http.RoundTripper, timeout time.Duration) *shadows {
	return &shadows{transport: transport, timeout: timeout, queue: make(chan sample, shadowQueue), tallies: map[string]*routes.Tally{}}
}

// follow takes note of some of the answers to reads while the client receives them.
func (s *shadows) follow(p *plan, response *http.Response) {
	to := p.route.shadow
	if to == nil || !safe(response.Request) || to.Upstream == p.side.Upstream || rand.IntN(100) >= to.Percent {
		return
	}
	response.Body = &recorder{ReadCloser: response.Body, done: func(body []byte) {
		// Only now is the shadow asked: at the same time it could see a state before the client's own last write.
		s.enqueue(sample{p.route, response.Request, response.StatusCode, body})
	}}
}

// recorder keeps a copy of a body that passes through, and hands it over if it was read to its end.
type recorder struct {
	io.ReadCloser
	copy bytes.Buffer
	done func(body []byte)
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.copy.Len() <= maxShadowBody {
		r.copy.Write(p[:n])
	}
	// At the end and not at Close, which also comes when the client has gone in the middle.
	if err == io.EOF && r.done != nil {
		r.done(r.copy.Bytes())
		r.done = nil
	}
	return n, err
}

func (s *shadows) enqueue(m sample) {
	if len(m.body) <= maxShadowBody {
		select {
		case s.queue <- m:
			return
		default:
		}
	}
	s.count(m.route, func(t *routes.Tally) { t.Dropped++ })
}

// run compares until ctx ends; what waits then is forgotten.
func (s *shadows) run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range shadowWorkers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-s.queue:
					s.compare(ctx, m)
				}
			}
		})
	}
	workers.Wait()
	return nil
}

func (s *shadows) compare(ctx context.Context, m sample) {
	status, body, err := s.ask(ctx, m)
	if err != nil { // counted only: a log line for each would be the one thing about a dead shadow that hurts
		s.count(m.route, func(t *routes.Tally) { t.Failed++ })
		return
	}
	pointers := differences(m.body, body, m.route.shadow.Ignore)
	s.count(m.route, func(t *routes.Tally) {
		t.Compared++
		if status == m.status && len(pointers) == 0 {
			return
		}
		t.Mismatched++
		t.Mismatches = append(t.Mismatches, routes.Mismatch{At: time.Now().UTC(), Status: m.status, Shadow: status, Pointers: pointers[:min(len(pointers), maxPointers)]})
		t.Mismatches = t.Mismatches[max(0, len(t.Mismatches)-maxMismatches):]
	})
}

// ask sends the copy, in a context of its own: the client's request is over.
func (s *shadows) ask(ctx context.Context, m sample) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	// It carries the client's own token, or it would be refused where the client was not. Only reads get this far.
	request := m.request.Clone(ctx)
	request.URL.Scheme, request.URL.Host = m.route.shadow.target.Scheme, m.route.shadow.target.Host
	request.Host, request.Body, request.ContentLength = request.URL.Host, nil, 0
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	body, err = io.ReadAll(io.LimitReader(response.Body, maxShadowBody+1))
	return response.StatusCode, body, err
}

func (s *shadows) count(r *route, change func(*routes.Tally)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tallies[r.name] == nil {
		s.tallies[r.name] = &routes.Tally{}
	}
	change(s.tallies[r.name])
}

// tally returns a copy.
func (s *shadows) tally(route string) *routes.Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := routes.Tally{}
	if counted := s.tallies[route]; counted != nil {
		t = *counted
		t.Mismatches = slices.Clone(counted.Mismatches)
	}
	return &t
}
