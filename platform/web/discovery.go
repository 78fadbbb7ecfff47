package web

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxKeys bounds what is read of an issuer's keys; a key takes half a kilobyte.
const maxKeys = 1 << 20

// discovery is how an issuer is asked for its description and its keys. What it has answered is remembered for a while: a token that
// names an unknown key has the library ask for the keys, and anybody can make one up. A new key is known when the while is over.
type discovery struct {
	while time.Duration
	mu    sync.Mutex
	known map[string]document // by URL
}

type document struct {
	read   time.Time
	header http.Header
	body   []byte
}

func newDiscovery(while time.Duration) *discovery {
	return &discovery{while: while, known: map[string]document{}}
}

func (d *discovery) RoundTrip(request *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock() // the library asks one question at a time
	document, ok := d.known[request.URL.String()]
	if !ok || time.Since(document.read) >= d.while {
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusOK { // the next request may fare better
			return response, err
		}
		defer func() { _ = response.Body.Close() }() // what was read is what counts
		document.read, document.header = time.Now(), response.Header
		if document.body, err = io.ReadAll(http.MaxBytesReader(nil, response.Body, maxKeys)); err != nil {
			return nil, err
		}
		d.known[request.URL.String()] = document
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: document.header.Clone(), ContentLength: int64(len(document.body)), Body: io.NopCloser(bytes.NewReader(document.body)),
	}, nil
}
