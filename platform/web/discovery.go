package web

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxKeys bounds what is read of a response; a key takes half a kilobyte.
const maxKeys = 1 << 20

const (
	// keysHold is how long an issuer's response is cached.
	keysHold = 10 * time.Second
	// failureHolds is how long its failure is cached.
	failureHolds = time.Second
)

// discovery gets an issuer's description and keys, and caches responses and failures: the library
// gets the keys again for every token with an unknown key, which any client can make up.
type discovery struct {
	answers, failures time.Duration // how long they are cached
	mu                sync.Mutex
	known             map[string]outcome // by URL
}

type outcome struct {
	until    time.Time
	response *http.Response
	body     []byte
	err      error
}

func newDiscovery(answers, failures time.Duration) *discovery {
	return &discovery{answers: answers, failures: failures, known: map[string]outcome{}}
}

func (d *discovery) RoundTrip(request *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock() // the library sends one request at a time
	known, ok := d.known[request.URL.String()]
	if !ok || !time.Now().Before(known.until) {
		known = read(request)
		holds := d.answers
		if known.err != nil || known.response.StatusCode != http.StatusOK {
			holds = d.failures
		}
		known.until = time.Now().Add(holds)
		d.known[request.URL.String()] = known
	}
	if known.err != nil {
		return nil, known.err
	}
	response := *known.response
	response.Request, response.Header = request, response.Header.Clone()
	response.Body = io.NopCloser(bytes.NewReader(known.body))
	return &response, nil
}

func read(request *http.Request) outcome {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return outcome{err: err}
	}
	defer func() { _ = response.Body.Close() }() // the body was read
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxKeys))
	return outcome{response: response, body: body, err: err}
}
