package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// upstream answers each try by the function, which is told the number of the try.
func upstream(t *testing.T, answer func(try int64, w http.ResponseWriter, r *http.Request)) (url string, tries *atomic.Int64) {
	t.Helper()
	tries = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(tries.Add(1), w, r) }))
	t.Cleanup(server.Close)
	return server.URL, tries
}

func ask(t *testing.T, transport http.RoundTripper, url string) (status int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	return response.StatusCode, err
}

var patient = ClientConfig{Timeout: 10 * time.Second, TryTimeout: 10 * time.Second, Retries: 2, BreakerPause: time.Hour, Token: "secret"}

func TestTransportRepeatsAFailedTry(t *testing.T) {
	t.Parallel()
	url, tries := upstream(t, func(try int64, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != "question" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("try %d: body %q, authorization %q", try, body, r.Header.Get("Authorization"))
		}
		if try < 3 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	if status, err := ask(t, NewTransport(patient), url); err != nil || status != http.StatusOK || tries.Load() != 3 {
		t.Errorf("status %d, %v after %d tries", status, err, tries.Load())
	}
}

func TestTransportDoesNotRepeatARefusal(t *testing.T) {
	t.Parallel()
	url, tries := upstream(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if status, err := ask(t, NewTransport(patient), url); err != nil || status != http.StatusForbidden || tries.Load() != 1 {
		t.Errorf("status %d, %v after %d tries", status, err, tries.Load())
	}
}

func TestTransportIsBounded(t *testing.T) {
	t.Parallel()
	url, _ := upstream(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // only then does the server notice that the client has left
		<-r.Context().Done()
	})
	hurried := patient
	hurried.Timeout, hurried.TryTimeout = 100*time.Millisecond, 60*time.Millisecond
	if status, err := ask(t, NewTransport(hurried), url); err == nil {
		t.Errorf("a process that never answers was heard to say %d", status)
	}
}

func TestTransportStopsAskingWhatIsDown(t *testing.T) {
	t.Parallel()
	url, tries := upstream(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	transport := NewTransport(patient)
	for range 20 {
		_, _ = ask(t, transport, url)
	}
	if n := tries.Load(); n > 10 {
		t.Errorf("it was asked %d times", n)
	}
	if _, err := ask(t, transport, url); err == nil {
		t.Error("an open breaker is no error")
	}
}
