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

const (
	// keysHold is how long an issuer's answer is remembered.
	keysHold = 10 * time.Second
	// failureHolds is how long an issuer that has failed is left alone.
	failureHolds = time.Second
)

// discovery is how an issuer is asked for its description and its keys. What becomes of a question
// is remembered for a while: a token that names an unknown key has the library ask for the keys,
// and anybody can make one up. A new key is known when the while is over.
type discovery struct {
	answers, failures time.Duration // how long they are remembered
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
	defer d.mu.Unlock() // the library asks one question at a time
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
	defer func() { _ = response.Body.Close() }() // what was read is what counts
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxKeys))
	return outcome{response: response, body: body, err: err}
}
