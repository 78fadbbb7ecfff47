package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"

	"example.com/shop/platform/process"
)

// upstreamServer is a fake process: it counts requests and answers as the test wants.
type upstreamServer struct {
	*httptest.Server
	hits   atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

// newServer starts a fake process that answers 200 until the test sets another answer.
func newServer(t testing.TB) *upstreamServer {
	t.Helper()
	s := &upstreamServer{}
	s.answers(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ok":true}`) })
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *upstreamServer) answers(f http.HandlerFunc) { s.answer.Store(&f) }

func (s *upstreamServer) answersStatus(status int) {
	s.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// cut reads the whole request, as if to execute it, and closes the connection.
func cut(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// deadURL returns an address at which nothing listens.
func deadURL(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

// bench is a running gateway and its client.
type bench struct {
	*gateway
	url    string
	client *http.Client
}

// table2 returns a file with the route things and two sides of one home; more is appended.
func table2(oldURL, newURL string, newWeight int, more string) string {
	return fmt.Sprintf(`
upstreams:
  old: { url: %q }
  new: { url: %q }
routes:
  things:
    prefix: /v1/things
    sides:
      - { upstream: old, weight: %d, home: shop }
      - { upstream: new, weight: %d, home: shop }
%s`, oldURL, newURL, 100-newWeight, newWeight, more)
}

func start(t testing.TB, file string, change ...func(*config)) *bench {
	t.Helper()
	// The defaults.
	cfg, err := env.ParseAsWithOptions[config](env.Options{Environment: map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr, cfg.Interval = "127.0.0.1:0", 10*time.Millisecond
	cfg.Routes = filepath.Join(t.TempDir(), "routes.yaml")
	for _, c := range change {
		c(&cfg)
	}
	write(t, cfg.Routes, file)
	g, err := newGateway(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := process.Listen(t.Context(), "GATEWAY_ADDR", cfg.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 4)
	for _, part := range []func(context.Context) error{
		g.watch, g.probe, g.shadows.run, func(ctx context.Context) error { return g.run(ctx, ctx, listener) },
	} {
		go func() { done <- part(ctx) }()
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		cancel()
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return &bench{gateway: g, url: "http://" + listener.Addr().String(), client: client}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".next", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

// replace replaces the routes file and waits until it is applied.
func (b *bench) replace(t *testing.T, file string) {
	t.Helper()
	write(t, b.cfg.Routes, file)
	eventually(t, "the file is applied", func() bool { return string(b.current.Load().source) == file })
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// side returns the side that answered.
func (r reply) side() string { return r.header.Get(sideHeader) }

// problem returns the last part of the problem's type; the test fails if the answer is no problem.
func (r reply) problem(t *testing.T) string {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d is no problem: %q", r.status, r.body)
	}
	if p.Status != r.status || p.Title == "" || p.Detail == "" {
		t.Errorf("the problem is %+v, the status %d", p, r.status)
	}
	return strings.TrimPrefix(p.Type, "urn:shop:problem:")
}

func (b *bench) try(method, path string, body io.Reader, headers ...string) (reply, error) {
	request, err := http.NewRequest(method, b.url+path, body)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(text)}, err
}

func (b *bench) send(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	answer, err := b.try(method, path, reader, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

func (b *bench) get(t *testing.T, path string, headers ...string) reply {
	t.Helper()
	return b.send(t, http.MethodGet, path, "", headers...)
}

// dial opens a connection that lasts at most a minute.
func (b *bench) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// page returns the body of GET /routes.
func (b *bench) page(t *testing.T) (page statusPage) {
	t.Helper()
	recorder := httptest.NewRecorder()
	b.status().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/routes", nil))
	if err := json.Unmarshal(recorder.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	return page
}

// health returns the status of a side of the route things.
func (b *bench) health(t *testing.T, upstream string) sideStatus {
	t.Helper()
	for _, s := range b.page(t).Routes["things"].Sides {
		if s.Upstream == upstream {
			return s
		}
	}
	t.Fatalf("the page has no side %s", upstream)
	return sideStatus{}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
