package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

func ask(t *testing.T, transport http.RoundTripper, url string) (status int, err error) {
	t.Helper()
	return askFor(t.Context(), t, transport, url)
}

func askFor(ctx context.Context, t *testing.T, transport http.RoundTripper, url string) (status int, err error) {
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

var hurried = ClientConfig{Timeout: 2 * time.Second, TryTimeout: 200 * time.Millisecond, Retries: 1, BreakerPause: time.Hour}

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
	if status, err := ask(t, NewTransport(hurried), url); err == nil {
		t.Errorf("status %d of a process that never answers", status)
	}
}

func TestTransportIsBoundedToTheLastByte(t *testing.T) {
	t.Parallel()
	url, tries := upstream(t, func(try int64, w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_, _ = w.Write([]byte("an answer"))
		if try == 1 {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // with more to come
		}
	})
	if status, err := ask(t, NewTransport(hurried), url); err != nil || status != http.StatusOK || tries.Load() != 2 {
		t.Errorf("an answer that stalled: status %d, %v after %d tries", status, err, tries.Load())
	}
	url, _ = upstream(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxAnswer+1)) })
	if _, err := ask(t, NewTransport(patient), url); err == nil {
		t.Error("an answer without end was read")
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
		if _, err := askFor(ctx, t, transport, url); err == nil {
			t.Error("a response to a caller that had left")
		}
		leave()
	}
	quick.Store(true)
	if status, err := ask(t, transport, url); err != nil || status != http.StatusOK {
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
				if _, err := ask(t, transport, server.URL); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := opened.Load(); n > 3*callers {
		t.Errorf("%d connections were opened for %d callers", n, callers)
	}
	if newConnections().Proxy != nil {
		t.Error("it uses a proxy")
	}
}

func TestClientConfig(t *testing.T) {
	t.Parallel()
	cfg, err := process.Config[ClientConfig]()
	if err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for setting, spoil := range map[string]func(*ClientConfig){
		"CLIENT_TIMEOUT":       func(c *ClientConfig) { c.Timeout = 0 },
		"CLIENT_TRY_TIMEOUT":   func(c *ClientConfig) { c.TryTimeout = 0 },
		"CLIENT_RETRIES":       func(c *ClientConfig) { c.Retries = -1 },
		"CLIENT_BREAKER_PAUSE": func(c *ClientConfig) { c.BreakerPause = -time.Second },
	} {
		spoiled := cfg
		spoil(&spoiled)
		if err := spoiled.Validate(); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: got %v", setting, err)
		}
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

// A response whose Retry-After is longer than the call may take is returned at once.
func TestTransportDoesNotWaitInVain(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"10", "3600", "4294967295"} {
		url, tries := upstream(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		status, err := ask(t, NewTransport(patient), url)
		if err != nil || status != http.StatusServiceUnavailable || tries.Load() != 1 {
			t.Errorf("Retry-After %s: status %d, %v after %d tries", after, status, err, tries.Load())
		}
	}
	for _, after := range []string{"0", "-1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"} {
		url, tries := upstream(t, func(try int64, w http.ResponseWriter, _ *http.Request) {
			if try == 1 {
				w.Header().Set("Retry-After", after)
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		if status, err := ask(t, NewTransport(patient), url); err != nil || status != http.StatusOK || tries.Load() != 2 {
			t.Errorf("Retry-After %s: status %d, %v after %d tries", after, status, err, tries.Load())
		}
	}
}

// The one try that may close an open circuit breaker may be that of a caller that leaves.
func TestTransportRecoversWhenTheTryIsGivenUp(t *testing.T) {
	t.Parallel()
	var mode atomic.Pointer[string]
	be := func(m string) { mode.Store(&m) }
	be("down")
	reached := make(chan struct{})
	url, _ := upstream(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
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
			if status, err = askFor(ctx, t, transport, url); errors.Is(err, circuitbreaker.ErrOpen) == open {
				return status, err
			}
		}
		t.Fatalf("status %d, %v for half a minute", status, err)
		return 0, nil
	}
	_, _ = try(t.Context(), true)
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
