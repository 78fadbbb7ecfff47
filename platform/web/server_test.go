package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/platform/process"
)

func TestOpenAPI(t *testing.T) {
	b := newBench(t, Config{})
	text := b.send(t, http.MethodGet, "/v1/things/openapi.json", "").text
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
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	post, get := spec.Paths["/v1/things"]["post"], spec.Paths["/v1/things"]["get"]
	if diff := cmp.Diff([]*requirement{&Customer, &Public}, []*requirement{post.Security, get.Security}); diff != "" {
		t.Errorf("who may post and get: %s", diff)
	}
	if got := spec.Components.SecuritySchemes["bearer"]; got.Type != "http" || got.Scheme != "bearer" {
		t.Errorf("scheme is %v", got)
	}
	if _, ok := post.Responses["default"].Content["application/problem+json"]; !ok || spec.Components.Schemas["Problem"] == nil {
		t.Errorf("problems are not documented: %v", post.Responses)
	}
	for _, unwanted := range []string{`["array","null"]`, "$schema"} { // nullable arrays, and huma's links
		if strings.Contains(text, unwanted) {
			t.Errorf("%s is in it", unwanted)
		}
	}
}

var external = regexp.MustCompile(`(?:src|href)="(?:https?:)?//`)

func TestDocsAreOffline(t *testing.T) {
	b := newBench(t, Config{})
	if got := b.send(t, http.MethodGet, "/v1/things/docs", "").Header.Get("Location"); got != "/v1/things/docs/" {
		t.Errorf("docs redirect to %q", got)
	}
	page := b.send(t, http.MethodGet, "/v1/things/docs/", "")
	if !strings.Contains(page.text, "/v1/things/openapi.json") || external.MatchString(page.text) {
		t.Errorf("docs page: %s", page.text)
	}
	if got := page.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") || !strings.Contains(got, "frame-ancestors 'none'") ||
		page.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("policy is %q, and for referrers %q", got, page.Header.Get("Referrer-Policy"))
	}
	assets := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page.text, -1)
	if len(assets) < 3 {
		t.Fatalf("the page loads only %v", assets)
	}
	for _, asset := range assets {
		if answer := b.send(t, http.MethodGet, asset[1], "", "Accept-Encoding", "gzip"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", asset[1], answer.StatusCode)
		}
	}
}

func TestDocsCanBeOff(t *testing.T) {
	t.Parallel()
	s := New(Config{}, nil, silent, nil)
	if err := s.Mount("things", things); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{
		"/v1/things": http.StatusOK, "/v1/things/docs/": http.StatusNotFound,
		"/v1/things/openapi.json": http.StatusUnprocessableEntity, // it is taken for the id of a thing
	} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
	if len(s.OpenAPI("things")) == 0 {
		t.Error("what describes the module has no document")
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	for query, want := range map[string]int{"": 20, "?limit=1": 1, "?limit=100": 100} {
		var page Page[thing]
		err := json.Unmarshal([]byte(b.send(t, http.MethodGet, "/v1/things"+query, "").text), &page)
		if err != nil || len(page.Items) != want || page.Next == nil {
			t.Errorf("%q: %d items, next %v, %v", query, len(page.Items), page.Next, err)
		}
	}
	if answer := b.send(t, http.MethodGet, "/v1/things?limit=101", ""); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("101 items: %d", answer.StatusCode)
	}
	last := NewPage([]int(nil), 5, func(int) int { return 0 }, func(int) any { return nil })
	if text, _ := json.Marshal(last); string(text) != `{"items":[],"next":null}` {
		t.Errorf("the empty page is %s", text)
	}
}

// start runs the server on a free port, until stop is called.
func start(t *testing.T, s *Server) (address string, stop func() error) {
	t.Helper()
	s.cfg.Addr = "127.0.0.1:0"
	address, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ctx) }()
	return address, func() error { cancel(); return <-done }
}

// serve is start until the test ends.
func serve(t *testing.T, s *Server) (address string) {
	t.Helper()
	address, stop := start(t, s)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return address
}

// process.ServeHTTP drains, for as long as the configuration says.
func TestRequestsUnderWayAreCutOff(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{DrainTimeout: 10 * time.Millisecond})
	entered, release := make(chan bool), make(chan bool)
	b.router.Get("/waits", func(http.ResponseWriter, *http.Request) { entered <- true; <-release })
	address, stop := start(t, b.Server)
	if _, err := New(Config{Addr: address}, nil, silent, nil).Listen(); err == nil || !strings.Contains(err.Error(), "HTTP_ADDR") {
		t.Errorf("a port in use: %v", err)
	}
	failed := make(chan error, 1)
	go func() {
		answer, err := http.Get("http://" + address + "/waits")
		if err == nil {
			answer.Body.Close()
		}
		failed <- err
	}()
	<-entered
	if err := stop(); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("run: %v", err)
	}
	if <-failed == nil {
		t.Error("a request that was cut off was answered")
	}
	close(release)
}

func TestConfig(t *testing.T) {
	cfg, err := process.Config[Config]()
	if err != nil || cfg.Addr != "127.0.0.1:8080" || cfg.MaxBodyBytes != 16<<10 || cfg.Auth.Audience != "shop" {
		t.Errorf("defaults are %+v (%v)", cfg, err)
	}
	if _, err := process.Config[ClientConfig](); err != nil {
		t.Error(err)
	}
	cfg.WriteTimeout = cfg.HandlerTimeout
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "HTTP_WRITE_TIMEOUT") {
		t.Errorf("got %v", err)
	}
	type other struct {
		URL BaseURL `env:"WEB_TEST_URL"`
	}
	for text, good := range map[string]bool{"http://lamps:8080/app/": true, "secret:8080": false, "http://ada:secret@lamps": false} {
		t.Setenv("WEB_TEST_URL", text)
		cfg, err := process.Config[other]()
		named := errors.Is(err, process.ErrUsage) && strings.Contains(err.Error(), "WEB_TEST_URL") && !strings.Contains(err.Error(), "secret")
		if good && (err != nil || cfg.URL != BaseURL(text)) || !good && !named {
			t.Errorf("%s: %v, %v", text, cfg, err)
		}
	}
}

// Half an answer must not look like a whole one.
func TestPanicCutsBegunAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.router.Get("/cut", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("hush-hush")
	})
	answer, err := http.Get("http://" + serve(t, b.Server) + "/cut")
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
	address := serve(t, b.Server)
	for target, want := range map[string]string{
		"HEAD /v1/things": "200", "HEAD /v1/things/openapi.json": "200", "HEAD /v1/things/docs/": "200", "HEAD /v1/things/docs": "200",
		"HEAD /v1/things/0198c0de-0000-7000-8000-000000000000": "404", "HEAD /v1/things/who": "401", "HEAD /v1/nothing": "404",
		"BREW /v1/nothing": "404", "TRACE /v1/nothing": "404", "BREW /v1/things": "405 GET HEAD POST", "OPTIONS /v1/things": "405 GET HEAD POST",
		"DELETE /v1/things/a%2Fb": "405 GET HEAD", "DELETE /v1/things/a%20b": "405 GET HEAD", "DELETE /v1/things/docs/": "405 GET HEAD",
	} {
		method, path, _ := strings.Cut(target, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
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
