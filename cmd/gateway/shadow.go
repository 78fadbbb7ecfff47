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

	"example.com/shop/cmd/gateway/routes"
)

type shadow struct {
	routes.Shadow
	target *url.URL
}

// shadows sends copies and compares answers in the background. A slow or dead shadow fills its
// slots, and delays no client.
type shadows struct {
	transport http.RoundTripper
	timeout   time.Duration
	slots     chan struct{} // one for each answer that is being copied or compared
}

const (
	shadowSlots = 32
	// Larger answers are not compared.
	maxShadowBody = 256 << 10
	// The latest mismatches are kept, each with its first pointers.
	maxMismatches = 10
	maxPointers   = 20
)

type counted struct {
	mu    sync.Mutex
	tally routes.Tally
}

func (c *counted) count(change func(*routes.Tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.tally)
}

func (c *counted) read() *routes.Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tally
	t.Mismatches = slices.Clone(t.Mismatches)
	return &t
}

// run waits until ctx is done and the last comparison has ended.
func (s *shadows) run(ctx context.Context) error {
	<-ctx.Done()
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	return nil
}

// follow copies a sample of the answers to reads while the client receives them.
func (s *shadows) follow(p *plan, response *http.Response) {
	to := p.route.shadow
	if to == nil || !safe(response.Request) || to.Upstream == p.side.Upstream || rand.IntN(100) >= to.Percent {
		return
	}
	select {
	case s.slots <- struct{}{}:
		response.Body = &recorder{ReadCloser: response.Body, shadows: s, route: p.route, response: response}
	default:
		p.route.shadowed.count(func(t *routes.Tally) { t.Dropped++ })
	}
}

// recorder copies a body while it is read, and compares it if it was read to its end.
type recorder struct {
	io.ReadCloser
	*shadows
	route    *route
	response *http.Response
	copy     bytes.Buffer
	whole    bool
	once     sync.Once
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.copy.Len() <= maxShadowBody {
		r.copy.Write(p[:n])
	}
	r.whole = r.whole || err == io.EOF
	return n, err
}

// Close starts the comparison. It is also called when the client disconnects early.
func (r *recorder) Close() error {
	r.once.Do(func() { go r.compare() })
	return r.ReadCloser.Close()
}

// compare sends the request to the shadow and compares the answers. It runs after the first answer,
// or the shadow could see an earlier state.
func (r *recorder) compare() {
	defer func() { <-r.slots }()
	if !r.whole {
		return
	}
	if r.copy.Len() > maxShadowBody {
		r.route.shadowed.count(func(t *routes.Tally) { t.Dropped++ })
		return
	}
	status, body, err := r.ask(r.response.Request, r.route.shadow.target)
	if err != nil { // counted, not logged: a dead shadow would flood the log
		r.route.shadowed.count(func(t *routes.Tally) { t.Failed++ })
		return
	}
	pointers := differences(r.copy.Bytes(), body, r.route.shadow.Ignore)
	r.route.shadowed.count(func(t *routes.Tally) {
		t.Compared++
		if status == r.response.StatusCode && len(pointers) == 0 {
			return
		}
		t.Mismatched++
		t.Mismatches = append(t.Mismatches, routes.Mismatch{
			At: time.Now().UTC(), Status: r.response.StatusCode, Shadow: status, Pointers: pointers[:min(len(pointers), maxPointers)],
		})
		t.Mismatches = t.Mismatches[max(0, len(t.Mismatches)-maxMismatches):]
	})
}

// ask sends the copy, in a context of its own, because the client's request is over.
func (s *shadows) ask(original *http.Request, target *url.URL) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	// It has the client's token, so that the shadow authorizes it in the same way.
	request := original.Clone(ctx)
	request.URL.Scheme, request.URL.Host = target.Scheme, target.Host
	request.Host, request.Body, request.ContentLength = target.Host, nil, 0
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	body, err = io.ReadAll(io.LimitReader(response.Body, maxShadowBody+1))
	return response.StatusCode, body, err
}
