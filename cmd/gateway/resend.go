package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// RoundTrip sends a request to its side, and retries it once when that is safe:
//
//	no connection                     any request: nothing was sent
//	another error, 502, 503 or 504    GET, HEAD, and with resend: true in the routes also requests
//	                                  with an Idempotency-Key, which all sides keep in the module's
//	                                  one database
//
// Nothing else is sent twice: after a lost answer it is unknown whether the request was executed.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	// The outgoing request's key, which the upstream gets, and not the client's.
	again := safe(r) || x.route.resend && r.Header.Get("Idempotency-Key") != ""
	// The transport retries requests with these headers, but does not recognize lower case.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, there := r.Header[name]; there && !again {
			delete(r.Header, name) // of ReverseProxy's copy
			r.Header[strings.ToLower(name)] = values
		}
	}
	response, err := x.send(r)
	failed := err != nil && (again || isDial(err))
	refused := err == nil && again && unavailable(response)
	if r.Context().Err() != nil || !failed && !refused { // its client disconnected, its time is over, or it is answered
		return response, err
	}
	first := x.side
	if !x.forced {
		x.side = x.route.other(first, isDial(err)) // a failing side is better than a dead one
	}
	if refused && x.side == first { // do not retry on the same side
		return response, nil
	} else if refused {
		_ = response.Body.Close()
	}
	return x.send(r)
}

// send makes one attempt and records it in the upstream's health. An error after the connection is
// not recorded: it may be the client's or the network's.
func (x *exchange) send(r *http.Request) (*http.Response, error) {
	out := r.WithContext(r.Context()) // the transport may still read the first one
	target := *r.URL
	target.Scheme, target.Host = x.side.target.Scheme, x.side.target.Host
	out.URL, out.Host = &target, target.Host
	if r.Body != nil {
		out.Body = io.NopCloser(bytes.NewReader(x.body))
	}
	response, err := x.direct.RoundTrip(out)
	if err == nil && response.StatusCode < http.StatusOK { // 101, or what net/http panics on
		_ = response.Body.Close()
		response, err = nil, fmt.Errorf("the status %d is not that of a final answer", response.StatusCode)
	}
	if err == nil || isDial(err) {
		x.side.record(err != nil || unavailable(response), err != nil)
	}
	return response, err
}

// buffers reuses buffers. New ones make the median overhead a tenth larger, the p99 a third.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
