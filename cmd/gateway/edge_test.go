package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/process"
)

func TestForgedHeadersAreReplaced(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	arrived := make(chan *http.Request, 1)
	older.answers(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r
		w.Header().Set(sideHeader, "forged")
		w.Header().Set("Connection", "X-Internal")
		w.Header().Set("X-Internal", "secret")
	})
	b := start(t, table2(older.URL, older.URL, 0, ""))
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	answer := b.get(t, "/v1/things/a%2Fb?q=%zz&x=1;y=2",
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil", "X-Forwarded-User", "root", "X-Forwarded-Prefix", "/x",
		"Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Seam-Principal", "root", sideHeader, "old",
		"Connection", "X-Hop, Upgrade", "X-Hop", "1", "Upgrade", "websocket", "Keep-Alive", "1", "Proxy-Authorization", "p", "Expect", "100-continue",
		"Traceparent", trace, "Tracestate", "a=b", "Baggage", "a=b", "X-Request-Id", "r-1", "Authorization", "Bearer t", "Idempotency-Key", "k", "Cookie", "a=b")
	if answer.status != http.StatusOK {
		t.Fatalf("got %d", answer.status)
	}
	seen := <-arrived
	for _, name := range []string{
		"X-Forwarded-User", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip", "X-Seam-Principal", sideHeader,
		"Connection", "X-Hop", "Upgrade", "Keep-Alive", "Proxy-Authorization", "Expect", "Tracestate", "Baggage",
	} {
		if value, there := seen.Header[name]; there {
			t.Errorf("%s: %q reached the upstream", name, value)
		}
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": strings.TrimPrefix(b.url, "http://"),
		"Traceparent": trace, "X-Request-Id": "r-1", "Authorization": "Bearer t", "Idempotency-Key": "k", "Cookie": "a=b",
	} {
		if got := seen.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if seen.RequestURI != "/v1/things/a%2Fb?q=%zz&x=1;y=2" {
		t.Errorf("the upstream was asked for %s", seen.RequestURI)
	}
	if answer.side() != "old" || answer.header.Get("X-Internal") != "" || len(answer.header.Values(sideHeader)) != 1 {
		t.Errorf("the answer's headers are %v", answer.header)
	}
}

// An answer passes through unchanged: the façade neither requests nor decodes an encoding.
func TestAnswersPassThroughAsTheyAre(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	fmt.Fprint(zip, strings.Repeat("plain ", 100))
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	older := newServer(t)
	older.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
			return
		}
		fmt.Fprint(w, "plain")
	})
	b := start(t, table2(older.URL, older.URL, 0, ""))
	for encoding, want := range map[string]string{"": "plain", "identity": "plain", "gzip": packed.String()} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v1/things", nil)
		if err != nil {
			t.Fatal(err)
		}
		if encoding != "" {
			request.Header.Set("Accept-Encoding", encoding)
		}
		response, err := (&http.Transport{DisableCompression: true}).RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(got) != want || (encoding == "gzip") != (response.Header.Get("Content-Encoding") == "gzip") || response.ContentLength != int64(len(want)) {
			t.Errorf("%q: %v, %d bytes of %d, %v", encoding, err, len(got), response.ContentLength, response.Header)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	older.answers(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if r.URL.RawQuery == "hang" {
			<-r.Context().Done()
		}
		fmt.Fprint(w, n, err)
	})
	b := start(t, table2(older.URL, older.URL, 0, ""), func(c *config) {
		c.AnswerTimeout, c.ReadTimeout = 200*time.Millisecond, 500*time.Millisecond
	})
	size := func(n int) *strings.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	chunked := func(n int) io.Reader { return io.MultiReader(size(n)) } // without a length
	for _, c := range []struct {
		name, path string
		body       io.Reader
		headers    []string
		status     int
		problem    string
	}{
		{"no route", "/v2/things", nil, nil, http.StatusNotFound, "no-such-route"},
		{"the largest body", "/v1/things", size(maxBody), nil, http.StatusOK, ""},
		{"the largest body in chunks", "/v1/things", chunked(maxBody), nil, http.StatusOK, ""},
		{"a body too large", "/v1/things", size(maxBody + 1), nil, http.StatusRequestEntityTooLarge, "body-too-large"},
		{"a body too large in chunks", "/v1/things", chunked(maxBody + 1), nil, http.StatusRequestEntityTooLarge, "body-too-large"},
		{"a body in chunks with a key", "/v1/things", chunked(10), []string{"Idempotency-Key", "k"}, http.StatusOK, ""},
		{"a large header", "/v1/things", nil, []string{"X-Large", strings.Repeat("x", 2*maxHeader)}, http.StatusRequestHeaderFieldsTooLarge, ""},
		{"no answer in time", "/v1/things?hang", size(2), nil, http.StatusGatewayTimeout, "upstream-timeout"},
	} {
		answer, err := b.try(http.MethodPost, c.path, c.body, c.headers...)
		if err != nil || answer.status != c.status {
			t.Errorf("%s: %d %v, want %d", c.name, answer.status, err, c.status)
			continue
		}
		if c.problem != "" && answer.problem(t) != c.problem {
			t.Errorf("%s: %s, want %s", c.name, answer.body, c.problem)
		}
	}

	// A client that stops in the middle of its body gets 408, and it is not the upstream's failure.
	conn := b.dial(t)
	fmt.Fprint(conn, "POST /v1/things HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\nhalf")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("half a body: %v %v", response, err)
	}
	if health := b.health(t, "old"); health.Failures > 0 || health.Ejected {
		t.Errorf("it is recorded as the upstream's failure: %+v", health)
	}
}

// A malformed body gets 400, not 408, which would invite a retry.
func TestMalformedChunksAreRefused(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	older.answers(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	b := start(t, table2(older.URL, older.URL, 0, ""))
	for chunks, want := range map[string]int{
		"5\r\nhello\r\n0\r\n\r\n": http.StatusOK, "5\nhello\r\n0\r\n\r\n": http.StatusBadRequest, "x\r\nhello\r\n0\r\n\r\n": http.StatusBadRequest,
		"5\r\nhello!\r\n0\r\n\r\n": http.StatusBadRequest, "-5\r\nhello\r\n0\r\n\r\n": http.StatusBadRequest,
		"FFFFFFFFFFFFFFFFF\r\nhello": http.StatusBadRequest, "5;" + strings.Repeat("x", 8<<10) + "\r\nhello\r\n0\r\n\r\n": http.StatusBadRequest,
	} {
		conn := b.dial(t)
		fmt.Fprint(conn, "POST /v1/things HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != want {
			t.Errorf("%.40q: %v %v, want %d", chunks, response, err, want)
		}
	}
}

func TestTooManyAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	entered, release := make(chan bool), make(chan bool)
	older.answers(func(http.ResponseWriter, *http.Request) { entered <- true; <-release })
	other := newServer(t)
	b := start(t, table2(older.URL, other.URL, 0, "  quotes: { prefix: /v1/quotes, sides: [{ upstream: new, weight: 100, home: shop }] }\n"), func(c *config) { c.MaxRequests = 1 })
	first := make(chan reply)
	go func() {
		answer, _ := b.try(http.MethodGet, "/v1/things", nil)
		first <- answer
	}()
	<-entered
	second := b.get(t, "/v1/things")
	if second.status != http.StatusServiceUnavailable || second.problem(t) != "overloaded" || second.header.Get("Retry-After") == "" {
		t.Errorf("the second got %d", second.status)
	}
	// The first request may depend on another route.
	if answer := b.get(t, "/v1/quotes"); answer.status != http.StatusOK {
		t.Errorf("another route got %d", answer.status)
	}
	release <- true
	if answer := <-first; answer.status != http.StatusOK {
		t.Errorf("the first got %d", answer.status)
	}
}

func TestNoUpstream(t *testing.T) {
	t.Parallel()
	dead := deadURL(t)
	b := start(t, table2(dead, dead, 50, ""))
	answer := b.send(t, http.MethodPost, "/v1/things", "{}")
	if answer.status != http.StatusBadGateway || answer.problem(t) != "no-upstream" || strings.Contains(answer.body, "127.0.0.1") {
		t.Errorf("%d %s", answer.status, answer.body)
	}
}

func TestStoppingLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	entered, release := make(chan bool), make(chan bool)
	older.answers(func(w http.ResponseWriter, _ *http.Request) { entered <- true; <-release; fmt.Fprint(w, "whole") })
	b := start(t, table2(older.URL, older.URL, 0, ""))
	listener, err := process.Listen(t.Context(), "GATEWAY_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.Listen(t.Context(), "GATEWAY_ADDR", listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "GATEWAY_ADDR") {
		t.Errorf("a port in use: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped, answered := make(chan error, 1), make(chan string, 1)
	go func() { stopped <- b.run(ctx, ctx, listener) }()
	go func() {
		response, err := http.Get("http://" + listener.Addr().String() + "/v1/things")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		answered <- string(text)
	}()
	<-entered
	stop()
	eventually(t, "no connection is accepted any more", func() bool {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	release <- true
	if text, err := <-answered, <-stopped; text != "whole" || err != nil {
		t.Errorf("the request under way got %q; run: %v", text, err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []config{{}, {Routes: "/nowhere", MaxRequests: 1}} {
		if _, err := newGateway(cfg, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
