package faults

import (
	"bytes"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// moodyProvider loses answers after the money has moved, delays them, answers with an error, or
// sends a request twice, each with the same probability.
func moodyProvider(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	var mu sync.Mutex
	mood := func() int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(6)
	}
	undo := s.beforeProvider(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		switch mood() {
		case 0: // lost
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 1: // late
			answer := httptest.NewRecorder()
			forward.ServeHTTP(answer, r)
			time.Sleep(time.Duration(mood()) * 60 * time.Millisecond)
			w.WriteHeader(answer.Code)
			_, _ = io.Copy(w, answer.Body)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3: // twice
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			forward.ServeHTTP(httptest.NewRecorder(), r)
			r.Body = io.NopCloser(bytes.NewReader(body))
			forward.ServeHTTP(w, r)
		default:
			forward.ServeHTTP(w, r)
		}
	})
	progress(1)
	time.Sleep(outlasts) // for retries
	undo()
}

// beforeProvider puts a handler before the provider, until undo is called.
func (s *shop) beforeProvider(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, forward http.Handler)) (undo func()) {
	t.Helper()
	target, err := url.Parse(s.Outside.Setting("PAYMENTS_PROVIDER_URL"))
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), // timeouts are part of the fault
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, forward)
	}))
	t.Cleanup(server.Close)
	return s.set(t, []string{"PAYMENTS_PROVIDER_URL=" + server.URL}, s.serving(t, "payments"))
}
