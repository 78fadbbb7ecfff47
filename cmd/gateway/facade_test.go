package main

import (
	"bufio"
	"bytes"
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
	"golang.org/x/sync/errgroup"

	"example.com/shop/cmd/gateway/routes"
)

// fake is an upstream process that counts requests and answers as the test wants.
type fake struct {
	*httptest.Server
	hits   atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newFake(t *testing.T) *fake {
	f := &fake{}
	f.answers(echo)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.hits.Add(1)
		(*f.answer.Load())(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) answers(handler http.HandlerFunc) { f.answer.Store(&handler) }

func echo(w http.ResponseWriter, r *http.Request) {
	if body, err := io.ReadAll(r.Body); err == nil {
		_, _ = w.Write(body)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// raw reads the whole request, as if to execute it, and answers with these bytes.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			fmt.Fprint(conn, answer)
			conn.Close()
		}
	}
}

var cut = raw("")

// split returns a routes file whose two sides have these weights, with pairs of texts replaced.
func split(oldWeight, newWeight int, replace ...string) string {
	return strings.NewReplacer(replace...).Replace(fmt.Sprintf(`
upstreams: { old: { url: OLD }, new: { url: NEW } }
routes:
  things:
    prefix: /v1/things
    resend: true
    max_body: 65536
    sides: [{ upstream: old, weight: %d }, { upstream: new, weight: %d }]
`, oldWeight, newWeight))
}

// dead is an address at which nothing listens.
const dead = "http://127.0.0.1:1"

// facade is a running gateway with its two upstreams.
type facade struct {
	*gateway
	old, new *fake
	addr     string
	inside   string // the address for the shop's own processes
	stop     context.CancelFunc
}

// start starts a gateway with the default settings and a short interval.
func start(t *testing.T, file string, change ...func(*config)) *facade {
	t.Helper()
	cfg, err := env.ParseAsWithOptions[config](env.Options{Environment: map[string]string{}})
	must(t, err)
	cfg.Interval, cfg.Secret, cfg.AddressRate = 10*time.Millisecond, "the secret", 1_000_000
	cfg.Routes = filepath.Join(t.TempDir(), "routes.yaml")
	for _, c := range change {
		c(&cfg)
	}
	f := &facade{old: newFake(t), new: newFake(t)}
	must(t, os.WriteFile(cfg.Routes, f.fill(file), 0o600))
	f.gateway, err = newGateway(t.Context(), cfg, slog.New(slog.DiscardHandler))
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	internal, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f.addr, f.inside = listener.Addr().String(), internal.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	parts, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{
		f.probe, f.drainShadows, func(ctx context.Context) error { return f.run(ctx, ctx, listener, false) },
		func(ctx context.Context) error { return f.run(ctx, ctx, internal, true) },
	} {
		parts.Go(func() error { return part(ctx) })
	}
	t.Cleanup(func() { stop(); must(t, parts.Wait()) })
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill replaces OLD and NEW in a routes file by the URLs of the upstreams.
func (f *facade) fill(file string) []byte {
	return []byte(strings.NewReplacer("OLD", f.old.URL, "NEW", f.new.URL).Replace(file))
}

// put sends a routes file to PUT /routes, as from someone who knows this secret.
func (f *facade) put(file, secret string) reply {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPut, "/routes", bytes.NewReader(f.fill(file)))
	request.Header.Set("Authorization", "Bearer "+secret)
	f.replace(recorder, request)
	return reply{recorder.Code, recorder.Header(), recorder.Body.String()}
}

// apply replaces the routes.
func (f *facade) apply(t *testing.T, file string) {
	t.Helper()
	if answer := f.put(file, f.cfg.Secret); answer.status != http.StatusNoContent || answer.body != "" {
		t.Fatalf("the routes are not applied: %s", answer)
	}
}

// refuses sends routes that are refused for this reason, and change nothing.
func (f *facade) refuses(t *testing.T, file, reason string) {
	t.Helper()
	before := f.current.Load()
	answer := f.put(file, f.cfg.Secret)
	var p struct{ Detail string }
	if err := json.Unmarshal([]byte(answer.body), &p); err != nil || !strings.Contains(p.Detail, reason) || strings.Contains(p.Detail, "\n") {
		t.Errorf("%q: %s, want one line with %q", file, answer, reason)
	}
	if answer.String() != "422 routes-refused" || f.current.Load() != before {
		t.Errorf("%q: %s, and the table is another one: %v", file, answer, f.current.Load() != before)
	}
}

// things returns the route that the tests' requests have.
func (f *facade) things() *route { return f.current.Load().match("/v1/things") }

func (f *facade) side(upstream string) routes.PageSide { return f.things().side(upstream).status() }

type reply struct {
	status int
	header http.Header
	body   string
}

// String returns the status and the side that answered, or the kind of the façade's problem.
func (r reply) String() string {
	if side := r.header.Get(sideHeader); side != "" {
		return fmt.Sprint(r.status, " ", side)
	}
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	err := json.Unmarshal([]byte(r.body), &p)
	if err != nil || r.header.Get("Content-Type") != "application/problem+json" || p.Status != r.status || p.Title == "" ||
		p.Detail == "" || strings.Contains(r.body, "127.0.0.1") || (p.Status == 503 || p.Status == 429) != (r.header.Get("Retry-After") != "") {
		return fmt.Sprint(r.status, " without a proper problem: ", r.body)
	}
	return fmt.Sprint(r.status, " ", strings.TrimPrefix(p.Type, "urn:shop:problem:"))
}

const get, post = "GET /v1/things", "POST /v1/things"

// ask sends a request like "POST /v1/things\nName: value\n\nbody". If it has no cookie, it is from
// the client ada, whom the new side serves once it has 70 percent; if it has no secret, an
// operator's.
func (f *facade) ask(t *testing.T, request string) reply {
	t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	line, headers, _ := strings.Cut(head, "\n")
	if !strings.Contains(headers, "Cookie:") {
		headers += "\nCookie: " + canaryCookie + "=ada"
	}
	if !strings.Contains(headers, secretHeader) {
		headers += "\n" + secretHeader + ": the secret"
	}
	if body != "" && !strings.Contains(headers, "Content-Length:") && !strings.Contains(headers, "Transfer-Encoding:") {
		headers += fmt.Sprint("\nContent-Length: ", len(body))
	}
	head = line + " HTTP/1.1\nHost: app\nConnection: close\n" + strings.TrimSpace(headers) + "\n\n"
	conn, err := net.DialTimeout("tcp", f.addr, time.Minute)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(25 * time.Second))               // before GATEWAY_TIMEOUT, which no test may need
	go io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")+body) // it may be answered before its end
	method, _, _ := strings.Cut(line, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return reply{}
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return reply{response.StatusCode, response.Header, string(answer)}
}

// expect sends a request. It wants "<who answers> <requests of the old side>+<of the new side>",
// and then " failed" if a failure of a side is recorded.
func (f *facade) expect(t *testing.T, request, want string) reply {
	t.Helper()
	before, beforeNew := f.old.hits.Load(), f.new.hits.Load()
	answer := f.ask(t, request)
	got := fmt.Sprintf("%s %d+%d", answer, f.old.hits.Load()-before, f.new.hits.Load()-beforeNew)
	if f.side("old").Failures+f.side("new").Failures > 0 {
		got += " failed"
	}
	if got != want {
		t.Errorf("%.60q: %s, want %s", request, got, want)
	}
	return answer
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
