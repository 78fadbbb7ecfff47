package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"example.com/shop/platform/process"
)

// upstream answers each try by the function, which gets the number of the try.
func upstream(t *testing.T, answer func(try int64, w http.ResponseWriter, r *http.Request)) (url string, tries *atomic.Int64) {
	t.Helper()
	tries = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(tries.Add(1), w, r) }))
	t.Cleanup(server.Close)
	return server.URL, tries
}

func ask(ctx context.Context, t *testing.T, transport http.RoundTripper, url string) (status int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("question"))
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

var hurried = ClientConfig{Timeout: 2 * time.Second, TryTimeout: 200 * time.Millisecond, Retries: 1, BreakerPause: time.Hour, Token: "secret"}

// A failed try is repeated, a refusal is not. A try is bounded, to the last byte of its answer.
func TestTries(t *testing.T) {
	t.Parallel()
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, after := range header {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(code)
		}
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	stalls := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("an answer"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // with more to come
	}
	endless := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxAnswer+1)) }
	type tries = []func(http.ResponseWriter, *http.Request)
	for name, c := range map[string]struct {
		cfg    ClientConfig
		tries  tries // and then 200
		status int   // 0 for an error
		want   int64
	}{
		"two that fail":       {patient, tries{status(502), status(502)}, 200, 3},
		"a refusal":           {patient, tries{status(403)}, 403, 1},
		"no answer":           {hurried, tries{silent, stalls}, 0, 2},
		"a stall":             {hurried, tries{stalls}, 200, 2},
		"an endless answer":   {patient, slices.Repeat(tries{endless}, 3), 0, 3},
		"as long as the call": {patient, tries{status(503, "10")}, 503, 1}, // whose wait would be in vain
		"an hour":             {patient, tries{status(503, "3600")}, 503, 1},
		"longest":             {patient, tries{status(503, "4294967295")}, 503, 1},
		"no pause":            {patient, tries{status(503, "0")}, 200, 2},
		"negative":            {patient, tries{status(503, "-1")}, 200, 2},
		"no number":           {patient, tries{status(503, "soon")}, 200, 2},
		"a date":              {patient, tries{status(503, "Fri, 31 Dec 1999 23:59:59 GMT")}, 200, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, asked := upstream(t, func(try int64, w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body) // only then does the server notice a client that leaves
				if string(body) != "question" || r.Header.Get("Authorization") != "Bearer "+c.cfg.Token {
					t.Errorf("try %d: body %q, authorization %q", try, body, r.Header.Get("Authorization"))
				}
				if try <= int64(len(c.tries)) {
					c.tries[try-1](w, r)
				}
			})
			got, err := ask(t.Context(), t, NewTransport(c.cfg), url)
			if got != c.status || (err == nil) != (c.status != 0) || asked.Load() != c.want {
				t.Errorf("status %d, %v after %d tries, want %d after %d", got, err, asked.Load(), c.status, c.want)
			}
		})
	}
}

// The token's file is read for each call, so that the next token needs no restart.
func TestTheTokenOfTheFileIsSent(t *testing.T) {
	t.Parallel()
	cfg := patient
	cfg.TokenFile = filepath.Join(t.TempDir(), "token")
	var got string
	url, _ := upstream(t, func(_ int64, _ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	transport := NewTransport(cfg)
	for _, token := range []string{"first", "second"} {
		if err := os.WriteFile(cfg.TokenFile, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t.Context(), t, transport, url); err != nil || got != "Bearer "+token {
			t.Errorf("sent %q (%v), want %s", got, err, token)
		}
	}
	if err := os.Remove(cfg.TokenFile); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), t, transport, url); err == nil {
		t.Error("sent without a token")
	}
}

// Callers that leave do not open the circuit breaker.
func TestTransportForgivesCallersThatLeave(t *testing.T) {
	t.Parallel()
	var quick atomic.Bool
	url, _ := upstream(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		if !quick.Load() {
			<-r.Context().Done()
		}
	})
	transport := NewTransport(patient)
	for i := range 20 {
		ctx, leave := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if i%2 == 0 {
			ctx, leave = context.WithCancel(t.Context())
			time.AfterFunc(5*time.Millisecond, leave)
		}
		if _, err := ask(ctx, t, transport, url); err == nil {
			t.Error("a response to a caller that had left")
		}
		leave()
	}
	quick.Store(true)
	if status, err := ask(t.Context(), t, transport, url); err != nil || status != http.StatusOK {
		t.Errorf("a caller that stays: status %d, %v", status, err)
	}
}

func TestTransportKeepsItsConnections(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	transport := NewTransport(patient)
	const callers = 32
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range 30 {
				if _, err := ask(t.Context(), t, transport, server.URL); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := opened.Load(); n > 3*callers {
		t.Errorf("%d connections were opened for %d callers", n, callers)
	}
	if (process.Certificate{}).Transport().Proxy != nil {
		t.Error("it uses a proxy")
	}
}

// The circuit breaker stops tries at what is down. The one try that may close it again may be that
// of a caller that leaves.
func TestTransportStopsAskingWhatIsDown(t *testing.T) {
	t.Parallel()
	var mode atomic.Pointer[string]
	be := func(m string) { mode.Store(&m) }
	be("down")
	reached := make(chan struct{})
	url, tries := upstream(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		switch *mode.Load() {
		case "down":
			w.WriteHeader(http.StatusInternalServerError)
		case "silent":
			reached <- struct{}{}
			<-r.Context().Done()
		}
	})
	cfg := patient
	cfg.BreakerPause, cfg.Retries = time.Millisecond, 0
	transport := NewTransport(cfg)
	// try asks until the breaker is open, or until it lets a call through.
	try := func(ctx context.Context, open bool) (status int, err error) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			if status, err = ask(ctx, t, transport, url); errors.Is(err, circuitbreaker.ErrOpen) == open {
				return status, err
			}
		}
		t.Fatalf("status %d, %v for half a minute", status, err)
		return 0, nil
	}
	if _, _ = try(t.Context(), true); tries.Load() > 10 {
		t.Errorf("it was asked %d times", tries.Load())
	}
	be("silent")
	for range 5 {
		ctx, leave := context.WithCancel(t.Context())
		go func() { <-reached; leave() }()
		if _, err := try(ctx, false); err == nil {
			t.Error("there was an answer")
		}
	}
	be("up")
	if status, err := try(t.Context(), false); err != nil || status != http.StatusOK {
		t.Errorf("status %d, %v", status, err)
	}
}
