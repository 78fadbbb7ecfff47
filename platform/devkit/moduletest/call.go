package moduletest

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/web"
)

// Request is an HTTP request to the module.
type Request struct {
	Method  string // GET if it is empty
	Path    string // after /v1/ and the module's name
	Body    string // JSON
	Role    string // of the token; without a role there is no token
	Subject string // of the token; ada if it is empty
	Key     string // the Idempotency-Key
}

// Answer is the response to a Request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	t *testing.T
}

// Call sends the request to the module's routes.
func (s *Stage) Call(r Request) Answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), r.Method,
		s.Server.URL+"/v1/"+s.DB.Module+r.Path, strings.NewReader(r.Body))
	s.must(err)
	if r.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.Key != "" {
		request.Header.Set("Idempotency-Key", r.Key)
	}
	if r.Role != "" {
		token := s.Key.Mint(tokens.Claims{Subject: cmp.Or(r.Subject, "ada"), Role: r.Role})
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.Server.Client().Do(request)
	s.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	s.must(err)
	return Answer{response.StatusCode, response.Header, body, s.t}
}

// All returns the items of every page of a list, each asked for with the cursor of the one before.
func All[T any](s *Stage, r Request) (items []T) {
	s.t.Helper()
	for next := r; ; {
		var page web.Page[T]
		s.Call(next).JSON(&page)
		items = append(items, page.Items...)
		if page.Next == nil {
			return items
		}
		next.Path = r.Path + "&cursor=" + *page.Next
	}
}

// JSON decodes the body.
func (a Answer) JSON(into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		a.t.Fatalf("%v in %s", err, a.Body)
	}
}
