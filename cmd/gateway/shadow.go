package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

// shadow is the upstream that gets copies of a route's reads. They are sent and compared in the
// background: a slow or dead shadow fills the gateway's slots, and delays no client.
type shadow struct {
	routes.Shadow
	target *url.URL
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

func (c *counted) locked(use func(*routes.Tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	use(&c.tally)
}

// drainShadows waits until ctx is done and the last comparison has ended.
func (g *gateway) drainShadows(ctx context.Context) error {
	<-ctx.Done()
	for range cap(g.slots) {
		g.slots <- struct{}{}
	}
	return nil
}

// follow copies a sample of the answers to reads while the client receives them.
func (x *exchange) follow(response *http.Response) {
	to := x.route.shadow
	if to == nil || !safe(response.Request) || to.Upstream == x.side.Upstream || rand.IntN(100) >= to.Percent {
		return
	}
	select {
	case x.slots <- struct{}{}:
		response.Body = &recorder{ReadCloser: response.Body, exchange: x, response: response}
	default:
		x.route.shadowed.locked(func(t *routes.Tally) { t.Dropped++ })
	}
}

// recorder copies a body while it is read, and compares it if it was read to its end.
type recorder struct {
	io.ReadCloser
	*exchange
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
		r.route.shadowed.locked(func(t *routes.Tally) { t.Dropped++ })
		return
	}
	status, body, err := r.ask(r.response.Request)
	pointers := differences(r.copy.Bytes(), body, r.route.shadow.Ignore)
	r.route.shadowed.locked(func(t *routes.Tally) {
		switch {
		case err != nil: // counted, not logged: a dead shadow would flood the log
			t.Failed++
		case status == r.response.StatusCode && len(pointers) == 0:
			t.Compared++
		default:
			t.Compared++
			t.Mismatched++
			t.Mismatches = append(t.Mismatches, routes.Mismatch{
				At: time.Now().UTC(), Status: r.response.StatusCode, Shadow: status, Pointers: pointers[:min(len(pointers), maxPointers)],
			})
			t.Mismatches = t.Mismatches[max(0, len(t.Mismatches)-maxMismatches):]
		}
	})
}

// ask sends the copy, in a context of its own, because the client's request is over.
func (r *recorder) ask(original *http.Request) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.ShadowTimeout)
	defer cancel()
	// It has the client's token, so that the shadow authorizes it in the same way.
	request := original.Clone(ctx)
	target := r.route.shadow.target
	request.URL.Scheme, request.URL.Host = target.Scheme, target.Host
	request.Host, request.Body, request.ContentLength = target.Host, nil, 0
	response, err := r.shadows.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	body, err = io.ReadAll(io.LimitReader(response.Body, maxShadowBody+1))
	return response.StatusCode, body, err
}
