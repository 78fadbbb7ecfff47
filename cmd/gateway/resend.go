package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// resend sends a request to an upstream, and once more when that cannot do harm:
//
//	no connection came about                     any request: nothing was sent
//	anything else went wrong, or 502, 503, 504   GET and HEAD; and what has an Idempotency-Key, since all sides with a weight
//	                                             have one home, where the key of the first attempt is found
//
// Nothing else is ever sent twice: a lost answer does not tell whether the request was carried out.
type resend struct{ *gateway }

func (g resend) RoundTrip(r *http.Request) (*http.Response, error) {
	p := planOf(r.Context())
	// The key is read here and not from the client: only what the upstream will see may justify a second time.
	again := safe(r) || r.Header.Get("Idempotency-Key") != ""
	// A body that is large, or whose size is not known, streams through and is gone then.
	again = again && 0 <= r.ContentLength && r.ContentLength <= maxReplay
	// The transport resends by rules of its own what has one of these names. In lower case it does not know them, while the upstream does.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, there := r.Header[name]; there && !again {
			delete(r.Header, name) // of ReverseProxy's copy
			r.Header[strings.ToLower(name)] = values
		}
	}
	var kept []byte
	if again && r.Body != nil {
		var err error
		if kept, err = io.ReadAll(upload{r.Body}); err != nil {
			return nil, err
		}
	}
	response, err := g.send(r, p.side, kept)
	switch {
	case r.Context().Err() != nil: // nobody waits for an answer any more
		return response, err
	case err != nil && (again || isDial(err)):
		if !p.forced {
			p.side = p.route.other(p.side, isDial(err)) // who cannot be reached is worse than who has failed before
		}
	case err == nil && again && unavailable(response) && !p.forced:
		other := p.route.other(p.side, false)
		if other == p.side { // who has just said no is not asked again
			return response, nil
		}
		p.side = other
		_ = response.Body.Close()
	default:
		return response, err
	}
	return g.send(r, p.side, kept)
}

// send is one attempt. The upstream's health takes note of it, but not of failures that may be the client's or the network's.
func (g resend) send(r *http.Request, to *side, kept []byte) (*http.Response, error) {
	out := r.WithContext(r.Context()) // a copy: the transport may still read the one of the first attempt
	target := *r.URL
	target.Scheme, target.Host = to.target.Scheme, to.target.Host
	out.URL, out.Host = &target, to.target.Host
	switch {
	case kept != nil:
		out.Body = io.NopCloser(bytes.NewReader(kept))
	case r.Body != nil:
		out.Body = upload{r.Body}
	}
	response, err := g.direct.RoundTrip(out)
	if err == nil && response.StatusCode < http.StatusOK { // 101, which nothing here asks for, or what net/http panics on
		_ = response.Body.Close()
		response, err = nil, fmt.Errorf("the status %d is not that of a final answer", response.StatusCode)
	}
	if err == nil || isDial(err) {
		to.record(err != nil || unavailable(response), err != nil)
	}
	return response, err
}

// upload is the client's body. Its errors are marked, so that nobody blames an upstream for them; and it stays open when an attempt
// that never read from it is given up.
type upload struct{ io.Reader }

func (u upload) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = uploadError{err}
	}
	return n, err
}

func (upload) Close() error { return nil }

type uploadError struct{ error }

func (e uploadError) Unwrap() error { return e.error }

// buffers are used again: with 32 KiB for every answer, the median of what the façade adds is a tenth larger, and its 99th percentile a third.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
