package main

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func chunks(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

func TestRequests(t *testing.T) {
	t.Parallel()
	const (
		key     = "\nIdempotency-Key: k"
		toOld   = "\n" + sideHeader + ": old"
		toNew   = "\n" + sideHeader + ": new"
		chunked = "\nTransfer-Encoding: chunked\n\n"
	)
	small, largest := strings.Repeat("x", 1<<10), strings.Repeat("x", 64<<10) // as split allows
	keeps := []string{"resend: true", "resend: false"}
	type request struct {
		name, file string           // two sides, almost all to the old one, if there is no file
		old        http.HandlerFunc // how the old side answers, if not with an echo
		ask, want  string
	}
	unreachable := split(99, 1, "OLD", dead)
	all := []request{
		{"a read, no connection", unreachable, nil, get, "200 new 0+1 failed"},
		{"a read, cut off", "", cut, get, "200 new 1+1"},
		{"a read, bad gateway", "", status(502), get, "200 new 1+1 failed"},
		{"a read, unavailable", "", status(503), "HEAD /v1/things", "200 new 1+1 failed"},
		{"a read, time-out", "", status(504), get, "200 new 1+1 failed"},
		{"a read, a failure that is an answer", "", status(500), get, "500 old 1+0"},
		{"a write, no connection", unreachable, nil, post + "\n\n{}", "200 new 0+1 failed"},
		{"a large write, no connection", unreachable, nil, post + "\n\n" + largest, "200 new 0+1 failed"},
		{"a write, cut off", "", cut, post + "\n\n{}", "502 upstream-broken 1+0"},
		{"a write, unavailable", "", status(503), post + "\n\n{}", "503 old 1+0 failed"},
		{"a write without a body, cut off", "", cut, "DELETE /v1/things", "502 upstream-broken 1+0"},
		{"a write with a key, cut off", "", cut, post + key + "\n\n" + small, "200 new 1+1"},
		{"a write with a key and no body, cut off", "", cut, post + key, "200 new 1+1"},
		{"a write with a key, unavailable", "", status(503), post + key + "\n\n{}", "200 new 1+1 failed"},
		{"a large write with a key, cut off", "", cut, post + key + "\n\n" + largest, "200 new 1+1"},
		{"a write with a key in chunks, cut off", "", cut, post + key + chunked + chunks("{}"), "200 new 1+1"},
		{"a write with a key that is not kept, cut off", split(99, 1, keeps...), cut, post + key + "\n\n{}", "502 upstream-broken 1+0"},
		{"a write with a key that is not kept, unavailable", split(99, 1, keeps...), status(503), post + key + "\n\n{}", "503 old 1+0 failed"},
		{"a read of what keeps no keys, cut off", split(99, 1, keeps...), cut, get, "200 new 1+1"},
		// The upstream does not get this key, so there is no retry.
		{"a key that is hop-by-hop, cut off", "", cut, post + "\nConnection: Idempotency-Key" + key, "502 upstream-broken 1+0"},

		{"the only side, cut off", split(100, 0), cut, get, "502 upstream-broken 2+0"},
		{"the only side, unavailable", split(100, 0), status(503), get, "503 old 1+0 failed"},
		{"no side is reachable", split(50, 50, "OLD", dead, "NEW", dead), nil, post, "502 no-upstream 0+0 failed"},

		{"a forced side", "", nil, post + toNew, "200 new 0+1"},
		{"a forced side that is not there", "", nil, get + toNew + "er", "400 no-such-side 0+0"},
		{"a forced side, unavailable", "", status(503), get + toOld, "503 old 1+0 failed"},
		{"a forced side, cut off", "", cut, get + toOld, "502 upstream-broken 2+0"},

		{"no route", "", nil, "GET /v2/things", "404 no-such-route 0+0"},
		{"a tunnel", "", nil, "CONNECT /v1/things", "405 method-not-allowed 0+0"},
		{"the largest body", "", nil, post + "\n\n" + largest, "200 old 1+0"},
		{"the largest body in chunks", "", nil, post + chunked + chunks(largest), "200 old 1+0"},
		{"a body too large", "", nil, post + "\n\nx" + largest, "413 body-too-large 0+0"},
		{"a body too large for most", split(99, 1, "max_body: 65536", ""), nil, post + "\n\n" + strings.Repeat("x", defaultBody+1), "413 body-too-large 0+0"},
		{"the largest body for most", split(99, 1, "max_body: 65536", ""), nil, post + "\n\n" + strings.Repeat("x", defaultBody), "200 old 1+0"},
		{"an answer before the body is read", "", status(401), post + "\n\n" + largest, "401 old 1+0"},
		{"an answer before the chunks are read", "", status(401), post + chunked + chunks(largest), "401 old 1+0"},
	}
	for _, invalid := range []string{
		"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
	} {
		all = append(all, request{"a write, " + invalid, "", raw(invalid), post, "502 upstream-broken 1+0"},
			request{"a read, " + invalid, "", raw(invalid), get, "200 new 1+1"})
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.file == "" {
				c.file = split(99, 1)
			}
			f := start(t, c.file)
			if c.old != nil {
				f.old.answers(c.old)
			}
			answer := f.expect(t, c.ask, c.want)
			_, body, _ := strings.Cut(c.ask, "\n\n")
			if answer.status == http.StatusOK && answer.body != body && !strings.Contains(c.ask, chunked) {
				t.Errorf("%d bytes of %d came through", len(answer.body), len(body))
			}
		})
	}
}

// What a client sends wrong is its failure, and no upstream's. A malformed body gets 400 and not
// 408, which would invite a retry.
func TestLimits(t *testing.T) {
	t.Parallel()
	f := start(t, split(100, 0), func(c *config) {
		c.AnswerTimeout, c.ReadTimeout = 200*time.Millisecond, 500*time.Millisecond
	})
	f.old.answers(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-r.Context().Done() })
	const chunked = post + "\nTransfer-Encoding: chunked\n\n"
	wants := map[string]string{
		chunked + chunks(strings.Repeat("x", 64<<10+1)):        "413 body-too-large",
		post + "\nContent-Length: 100\n\nhalf":                 "408 request-timeout",
		get + "\nX-Large: " + strings.Repeat("x", 2*maxHeader): "431 without",
		post + "\n\n{}": "504 upstream-timeout",
	}
	for _, malformed := range []string{
		"5\nhello\r\n0\r\n\r\n", "x\r\nhello\r\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
		"FFFFFFFFFFFFFFFFF\r\nhello", "5;" + strings.Repeat("x", 8<<10) + "\r\nhello\r\n0\r\n\r\n",
	} {
		wants[chunked+malformed] = "400 malformed-request"
	}
	for _, request := range []string{chunked, post + "\ntransfer-encoding: chunked\n\n"} { // and a length
		wants[strings.Replace(request, "\n\n", "\nContent-Length: 2\n\n", 1)+chunks("{}")] = "400 without"
	}
	for request, want := range wants {
		if got := f.ask(t, request).String(); !strings.HasPrefix(got, want) {
			t.Errorf("%.80q: %s, want %s", request, got, want)
		}
	}
	if failures := f.side("old").Failures; failures > 0 {
		t.Errorf("%d are recorded as the upstream's failures", failures)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	f := start(t, split(99, 1))
	arrived := make(chan *http.Request, 1)
	f.old.answers(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r
		w.Header()[sideHeader] = []string{"forged"}
		w.Header()["Connection"] = []string{"X-Internal"}
		w.Header()["X-Internal"] = []string{"secret"}
	})
	const (
		path   = "/v1/things/a%2Fb?q=%zz&x=1;y=2"
		trace  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		passed = "\nTraceparent: " + trace + "\nX-Request-Id: r-1\nAuthorization: Bearer t\nIdempotency-Key: k\nCookie: a=b"
		forged = "\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\nX-Forwarded-User: root" +
			"\nX-Forwarded-Prefix: /x\nForwarded: for=6.6.6.6\nX-Real-Ip: 6.6.6.6\nX-Seam-Principal: root" +
			"\nX_Forwarded_For: 6.6.6.6\nTrue-Client-Ip: 6.6.6.6\nX-Original-Url: /x\nX-Http-Method-Override: DELETE"
		hop = "\nConnection: X-Hop, Upgrade\nX-Hop: 1\nUpgrade: websocket\nKeep-Alive: 1\nProxy-Authorization: p" +
			"\nExpect: 100-continue\nTracestate: a=b\nBaggage: a=b"
	)
	answer := f.ask(t, "GET "+path+passed+forged+hop)
	seen := <-arrived
	if diff := cmp.Diff(http.Header{
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"app"}, "Traceparent": {trace},
		"X-Request-Id": {"r-1"}, "Authorization": {"Bearer t"}, "Idempotency-Key": {"k"}, "Cookie": {"a=b"},
	}, seen.Header); diff != "" || seen.RequestURI != path {
		t.Errorf("the upstream was asked for %s with %s", seen.RequestURI, diff)
	}
	answer.header.Del("Date")
	cookie := canaryCookie + "=" + strconv.FormatUint(hash("k"), 36) + "; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
	want := http.Header{sideHeader: {"old"}, "Content-Length": {"0"}, "Set-Cookie": {cookie}}
	if diff := cmp.Diff(want, answer.header); diff != "" {
		t.Errorf("the answer has the headers %s", diff)
	}
}

// Without the secret the side is chosen as if the header were not there, and not told.
func TestOnlyAnOperatorForcesASide(t *testing.T) {
	t.Parallel()
	f := start(t, split(100, 0))
	for _, secret := range []string{"", "the secre", "The secret", "the secret"} {
		for _, side := range []string{"new", "old", "newer"} {
			hits := f.new.hits.Load()
			answer := f.ask(t, get+"\n"+sideHeader+": "+side+"\n"+secretHeader+": "+secret)
			told, reached := answer.header.Get(sideHeader), f.new.hits.Load() > hits
			if secret == "the secret" {
				if side != "newer" && told != side {
					t.Errorf("an operator forces %s: %s", side, answer)
				}
			} else if told != "" || reached || answer.status != http.StatusOK {
				t.Errorf("%q forces %s: %d with %v", secret, side, answer.status, answer.header)
			}
		}
	}
	open := start(t, split(100, 0), func(c *config) { c.Secret = "" })
	if answer := open.ask(t, get+"\n"+sideHeader+": new\n"+secretHeader+": "); answer.header.Get(sideHeader) != "" {
		t.Errorf("without a secret: %v", answer.header)
	}
}

// More requests than one route may have are refused. When the gateway stops, those under way
// finish.
func TestRequestsUnderWay(t *testing.T) {
	t.Parallel()
	f := start(t, split(100, 0)+"  tolls: { prefix: /v1/tolls, sides: [{ upstream: new, weight: 100 }] }\n",
		func(c *config) { c.MaxRequests = 1 })
	entered, release, first := make(chan bool), make(chan bool), make(chan reply)
	f.old.answers(func(w http.ResponseWriter, _ *http.Request) { entered <- true; <-release; fmt.Fprint(w, "whole") })
	go func() { first <- f.ask(t, get) }()
	<-entered
	f.expect(t, get, "503 overloaded 0+0")
	f.expect(t, "GET /v1/tolls", "200 new 0+1") // the first request may depend on another route
	f.stop()
	eventually(t, "no connection is accepted any more", func() bool {
		conn, err := net.Dial("tcp", f.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	release <- true
	if answer := <-first; answer.String() != "200 old" || answer.body != "whole" {
		t.Errorf("the request under way got %s %q", answer, answer.body)
	}
}

// Upstreams cut connections at random, also idle ones, where net/http's transport may retry.
func TestAWriteWithoutAKeyIsNeverExecutedTwice(t *testing.T) {
	t.Parallel()
	f := start(t, split(50, 50))
	var executed sync.Map
	answer := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.RawQuery, "-2") != (r.Header.Get("X-Idempotency-Key") == "k") {
			t.Errorf("%s came with %v", r.URL.RawQuery, r.Header)
		}
		if _, twice := executed.Swap(r.URL.RawQuery, true); twice {
			t.Errorf("%s was executed twice", r.URL.RawQuery)
		}
		if rand.IntN(4) == 0 {
			cut(w, r)
		}
	}
	f.old.answers(answer)
	f.new.answers(answer)
	// No key, an empty one, one to the transport alone, none.
	requests := [4]string{"\n\n{}", "\nIdempotency-Key:", "\nX-Idempotency-Key: k", ""}
	var group sync.WaitGroup
	for c := range 8 {
		group.Go(func() {
			for i := range 250 {
				request := fmt.Sprintf("POST /v1/things?%d-%d-%d\nCookie: %s=%d%s", c, i, i%4, canaryCookie, i, requests[i%4])
				if answer := f.ask(t, request); answer.status != http.StatusOK && answer.status != http.StatusBadGateway {
					t.Errorf("got %s", answer)
				}
			}
		})
	}
	group.Wait()
	if hits := f.old.hits.Load() + f.new.hits.Load(); hits != 2000 {
		t.Errorf("%d requests of 2000 came through", hits)
	}
}

func TestWithoutRoutes(t *testing.T) {
	t.Parallel()
	if _, err := newGateway(t.Context(), config{Routes: "/nowhere"}, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
