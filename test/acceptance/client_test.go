package acceptance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// money is as every module writes it.
type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	TraceID string `json:"trace_id"`
}

// answer is a response with its whole body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request is an HTTP request. The zero value of a field sends nothing.
type request struct {
	method, path string
	base         string // instead of the system's URL
	token        string
	key          string // Idempotency-Key
	body         any    // a string is sent unchanged
	header       http.Header
}

func (r request) send(t *testing.T) answer {
	t.Helper()
	var body io.Reader
	if r.body != nil {
		text, ok := r.body.(string)
		if !ok {
			encoded, err := json.Marshal(r.body)
			if err != nil {
				t.Fatal(err)
			}
			text = string(encoded)
		}
		body = strings.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, cmp.Or(r.base, system.url)+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return answer{response.StatusCode, response.Header, text}
}

// decode checks the status and decodes the body.
func decode[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var out T
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	if err := decoder.Decode(&out); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
	return out
}

func get[T any](t *testing.T, token, path string) T {
	t.Helper()
	return decode[T](t, request{method: http.MethodGet, path: path, token: token}.send(t), http.StatusOK)
}

// eventually polls until ask reports true. The limit is long, since the system promises no time.
func eventually[T any](t *testing.T, ask func() (T, bool)) T {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		got, ok := ask()
		if ok {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen; the last answer was %+v", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// secret is input that no problem may repeat.
const secret = "s3cret-value"

// checkProblem fails unless the answer is a complete problem that repeats no input.
func checkProblem(t *testing.T, a answer, status int, kind string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	if p.Type != "urn:shop:problem:"+kind || p.Status != status || p.Title == "" || p.Detail == "" || len(p.TraceID) != 32 {
		t.Errorf("problem of kind %s is not complete: %s", kind, a.body)
	}
	if strings.Contains(string(a.body), secret) {
		t.Errorf("the problem repeats the input: %s", a.body)
	}
}

// refused is a request, and the problem that answers it.
type refused struct {
	request
	status int
	kind   string
}

func checkProblems(t *testing.T, tests map[string]refused) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkProblem(t, test.send(t), test.status, test.kind)
		})
	}
}
