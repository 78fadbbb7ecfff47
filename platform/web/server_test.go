package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
)

func TestMountRefuses(t *testing.T) {
	for want, op := range map[string]huma.Operation{
		"GET /v1/odd/open declares no access":   {Path: "/v1/odd/open"},
		"GET /v1/odd/hidden declares no access": {Path: "/v1/odd/hidden", Hidden: true},
		"GET /v1/oddity is outside /v1/odd":     {Path: "/v1/oddity", Security: Public},
	} {
		op.Method = http.MethodGet
		err := New(Config{}, nil, slog.New(slog.DiscardHandler), nil).Mount("odd", func(api huma.API) {
			huma.Register(api, op, func(context.Context, *nothing) (*nothing, error) { return &nothing{}, nil })
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestOpenAPI(t *testing.T) {
	b := newBench(t, Config{})
	answer, _ := b.send(t, http.MethodGet, "/v1/things/openapi.json", "")
	text, _ := io.ReadAll(answer.Body)
	type requirement = []map[string][]string
	var spec struct {
		Paths map[string]map[string]struct {
			Security  *requirement
			Responses map[string]struct{ Content map[string]any }
		}
		Components struct {
			Schemas         map[string]any
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	post, get := spec.Paths["/v1/things"]["post"], spec.Paths["/v1/things"]["get"]
	if post.Security == nil || !cmp.Equal(*post.Security, Customer) {
		t.Errorf("post declares %v", post.Security)
	}
	if get.Security == nil || len(*get.Security) != 0 {
		t.Errorf("get declares %v", get.Security)
	}
	if got := spec.Components.SecuritySchemes["bearer"]; got.Type != "http" || got.Scheme != "bearer" {
		t.Errorf("scheme is %v", got)
	}
	if _, ok := post.Responses["default"].Content["application/problem+json"]; !ok || spec.Components.Schemas["Problem"] == nil {
		t.Errorf("problems are not documented: %v", post.Responses)
	}
	if strings.Contains(string(text), `"null"`) && strings.Contains(string(text), `["array","null"]`) {
		t.Error("arrays are nullable")
	}
	if strings.Contains(string(text), "$schema") {
		t.Error("huma's schema links are on")
	}
}

var external = regexp.MustCompile(`(?:src|href)="(?:https?:)?//`)

func TestDocsAreOffline(t *testing.T) {
	b := newBench(t, Config{})
	answer, _ := b.send(t, http.MethodGet, "/v1/things/docs", "")
	if got := answer.Header.Get("Location"); got != "/v1/things/docs/" {
		t.Errorf("docs redirect to %q", got)
	}
	answer, _ = b.send(t, http.MethodGet, "/v1/things/docs/", "")
	text, _ := io.ReadAll(answer.Body)
	if !strings.Contains(string(text), "/v1/things/openapi.json") || external.Match(text) {
		t.Errorf("docs page: %s", text)
	}
	if got := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") {
		t.Errorf("policy is %q", got)
	}
	assets := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(string(text), -1)
	if len(assets) < 3 {
		t.Fatalf("the page loads only %v", assets)
	}
	for _, asset := range assets {
		if answer, _ := b.send(t, http.MethodGet, asset[1], "", "Accept-Encoding", "gzip"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", asset[1], answer.StatusCode)
		}
	}
}

func TestAccessLog(t *testing.T) {
	b := newBench(t, Config{})
	line := func(target string, headers ...string) (entry map[string]any) {
		b.log.Reset()
		b.send(t, http.MethodGet, target, "", headers...)
		text := b.log.String()
		if strings.Contains(text, secret) || strings.Contains(text, "forged") {
			t.Errorf("the log has input in it: %s", text)
		}
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return entry
	}
	traceparent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	entry := line("/v1/things?limit=2&cursor="+secret, "Traceparent", traceparent, "X-Request-Id", "a b\nforged")
	for key, want := range map[string]any{"method": "GET", "route": "/v1/things", "status": 400.0, "level": "INFO"} {
		if entry[key] != want {
			t.Errorf("%s is %v, want %v", key, entry[key], want)
		}
	}
	if id, _ := entry["request_id"].(string); len(id) != 36 {
		t.Errorf("an insane request id became %q", id)
	}
	for _, key := range []string{"duration_ms", "bytes"} {
		if _, ok := entry[key].(float64); !ok {
			t.Errorf("%s is %v", key, entry[key])
		}
	}
	if entry := line("/v1/" + secret); entry["route"] != "none" {
		t.Errorf("an unknown path is logged as %v", entry["route"])
	}
	if entry := line("/v1/things/fail"); entry["error"] != "hush-hush" || entry["level"] != "ERROR" {
		t.Errorf("a handler's error is logged as %v", entry)
	}
}

func TestPages(t *testing.T) {
	b := newBench(t, Config{})
	for query, want := range map[string]int{"": PageDefault, "?limit=1": 1, "?limit=100": PageMax} {
		answer, _ := b.send(t, http.MethodGet, "/v1/things"+query, "")
		var page Page[thing]
		if err := json.NewDecoder(answer.Body).Decode(&page); err != nil || len(page.Items) != want || page.Next == nil {
			t.Errorf("%q: %d items, next %v, %v", query, len(page.Items), page.Next, err)
		}
	}
	if answer, _ := b.send(t, http.MethodGet, "/v1/things?limit=101", ""); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the cap of Paging and PageMax differ: %d", answer.StatusCode)
	}
	last := NewPage([]int(nil), 5, func(int) int { return 0 }, func(int) any { return nil })
	if text, _ := json.Marshal(last); string(text) != `{"items":[],"next":null}` {
		t.Errorf("the empty page is %s", text)
	}
}

// serve runs the server on a free port until the test ends.
func serve(t *testing.T, s *Server) (address string) {
	t.Helper()
	s.cfg.Addr = "127.0.0.1:0"
	address, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return address
}

func TestRunDrains(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	entered, release := make(chan bool), make(chan bool)
	run := func(drain time.Duration) (answered chan int, stop func(), done chan error) {
		s := New(Config{Addr: "127.0.0.1:0", DrainTimeout: drain}, nil, log, nil)
		err := s.Mount("slow", func(api huma.API) {
			op := huma.Operation{Method: http.MethodGet, Path: "/v1/slow", Security: Public}
			huma.Register(api, op, func(context.Context, *nothing) (*nothing, error) {
				entered <- true
				<-release
				return &nothing{}, nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		address, err := s.Listen()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Addr: address}, nil, log, nil).Listen(); err == nil || !strings.Contains(err.Error(), "HTTP_ADDR") {
			t.Errorf("a port in use: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answered, done = make(chan int, 1), make(chan error, 1)
		go func() { done <- s.Run(ctx, ctx) }()
		go func() {
			answer, err := http.Get("http://" + address + "/v1/slow")
			if err != nil {
				answered <- 0
				return
			}
			answer.Body.Close()
			answered <- answer.StatusCode
		}()
		<-entered
		return answered, cancel, done
	}

	answered, stop, done := run(time.Minute)
	stop()
	release <- true
	if status, err := <-answered, <-done; status != http.StatusNoContent || err != nil {
		t.Errorf("a request under way got %d; run: %v", status, err)
	}

	answered, stop, done = run(10 * time.Millisecond)
	stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("run: %v", err)
	}
	if status := <-answered; status != 0 {
		t.Errorf("a request that was cut off got %d", status)
	}
	close(release)
}

func TestConfigDefaults(t *testing.T) {
	cfg, err := env.ParseAsWithOptions[Config](env.Options{Environment: map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != "127.0.0.1:8080" || cfg.MaxBodyBytes != 1<<20 || cfg.Auth.Audience != "shop" || cfg.HandlerTimeout >= cfg.WriteTimeout {
		t.Errorf("defaults are %+v", cfg)
	}
}

// Half an answer must not look like a whole one.
func TestPanicCutsBegunAnswer(t *testing.T) {
	b := newBench(t, Config{})
	b.router.Get("/cut", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("hush-hush")
	})
	server := httptest.NewServer(b.Handler())
	defer server.Close()
	answer, err := http.Get(server.URL + "/cut")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("the client took %q for whole", text)
	}
}

// HEAD is answered wherever GET is, a method that a path does not have with those that it has, and
// an unknown path is one for every method.
func TestMethods(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	for target, want := range map[string]string{
		"HEAD /v1/things": "200", "HEAD /v1/things/openapi.json": "200", "HEAD /v1/things/docs/": "200", "HEAD /v1/things/docs": "200",
		"HEAD /v1/things/0198c0de-0000-7000-8000-000000000000": "404", "HEAD /v1/things/who": "401", "HEAD /v1/nothing": "404",
		"BREW /v1/nothing": "404", "TRACE /v1/nothing": "404", "BREW /v1/things": "405 GET HEAD POST", "OPTIONS /v1/things": "405 GET HEAD POST",
		"DELETE /v1/things/a%2Fb": "405 GET HEAD", "DELETE /v1/things/a%20b": "405 GET HEAD", "DELETE /v1/things/docs/": "405 GET HEAD",
	} {
		method, path, _ := strings.Cut(target, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		got := strings.TrimSpace(fmt.Sprint(answer.StatusCode, " ", strings.Join(answer.Header.Values("Allow"), " ")))
		if got != want || method == http.MethodHead && (len(text) > 0 || answer.ContentLength == 0) {
			t.Errorf("%s: got %s with %d bytes of %d, want %s", target, got, len(text), answer.ContentLength, want)
		}
	}
}
