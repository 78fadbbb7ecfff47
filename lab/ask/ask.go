// Package ask sends HTTP requests to a running shop, for the programs and the tests of the lab.
package ask

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
)

// Request is an HTTP request. The zero value of a field sends nothing.
type Request struct {
	Method string // GET if it is empty
	URL    string
	Token  string
	Key    string // the Idempotency-Key
	Body   string // JSON
	Header http.Header
}

// Answer is the response, with its whole body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Send sends the request. If the body breaks off, the answer has what came of it beside the error.
func (r Request) Send(ctx context.Context, client *http.Client) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return Answer{}, err
	}
	maps.Copy(request.Header, r.Header)
	if r.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	if r.Key != "" {
		request.Header.Set("Idempotency-Key", r.Key)
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, body}, err
}
