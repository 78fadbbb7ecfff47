package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// secret is in every bad input below and may be in no answer.
const secret = "s3cr3t"

func TestProblems(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{HandlerTimeout: 20 * time.Millisecond})
	good := `{"name":"x","count":1}`
	for name, c := range map[string]struct {
		method, target, body string
		headers              []string
		status               int
		kind, location       string
	}{
		"no such route":       {"GET", "/v1/" + secret, "", nil, 404, "no-such-route", ""},
		"no such method":      {"DELETE", "/v1/things", "", nil, 405, "method-not-allowed", ""},
		"unknown method":      {"S3CR3T", "/v1/things", "", nil, 405, "method-not-allowed", ""},
		"module's own":        {"GET", "/v1/things/0198c0de-0000-7000-8000-000000000000", "", nil, 404, "thing-not-found", ""},
		"missing header":      {"POST", "/v1/things", good, []string{"X-Key", ""}, 400, "invalid-header", "header.X-Key"},
		"invalid header":      {"POST", "/v1/things", good, []string{"X-Key", secret}, 400, "invalid-header", "header.X-Key"},
		"header before body":  {"POST", "/v1/things", `{"name":""}`, []string{"X-Key", ""}, 400, "invalid-header", "header.X-Key"},
		"no body":             {"POST", "/v1/things", "", nil, 400, "malformed-request", ""},
		"malformed json":      {"POST", "/v1/things", `{"name":` + secret, nil, 400, "malformed-request", "body"},
		"cut json":            {"POST", "/v1/things", `{"name":"` + secret, nil, 400, "malformed-request", "body"},
		"huge number":         {"POST", "/v1/things", `{"name":"x","count":1e999}`, nil, 400, "malformed-request", "body"},
		"overflow":            {"POST", "/v1/things", `{"name":"x","count":73333333333333333333}`, nil, 422, "validation-failed", "body"},
		"NUL in text":         {"POST", "/v1/things", `{"name":"` + secret + `\u0000","count":1}`, nil, 400, "malformed-request", "body"},
		"wrong content type":  {"POST", "/v1/things", good, []string{"Content-Type", "text/" + secret}, 415, "unsupported-media-type", "body"},
		"odd content type":    {"POST", "/v1/things", good, []string{"Content-Type", secret + ";a+b"}, 415, "unsupported-media-type", "body"},
		"unknown field":       {"POST", "/v1/things", `{"name":"x","count":1,"odd":"` + secret + `"}`, nil, 422, "validation-failed", "body.odd"},
		"other casing":        {"POST", "/v1/things", `{"name":"x","count":1,"COUNT":-1}`, nil, 422, "validation-failed", "body.COUNT"},
		"wrong type":          {"POST", "/v1/things", `{"name":"x","count":"` + secret + `"}`, nil, 422, "validation-failed", "body.count"},
		"not an object":       {"POST", "/v1/things", `["` + secret + `"]`, nil, 422, "validation-failed", "body"},
		"too long":            {"POST", "/v1/things", `{"name":"` + strings.Repeat(secret, 9) + `","count":1}`, nil, 422, "validation-failed", "body.name"},
		"below minimum":       {"POST", "/v1/things", `{"name":"x","count":-77}`, nil, 422, "validation-failed", "body.count"},
		"missing field":       {"POST", "/v1/things", `{"name":"` + secret + `"}`, nil, 422, "validation-failed", "body"},
		"format mail":         {"POST", "/v1/things", `{"name":"x","count":1,"mail":"` + secret + `@@x"}`, nil, 422, "validation-failed", "body.mail"},
		"format time":         {"POST", "/v1/things", `{"name":"x","count":1,"due":"` + secret + `"}`, nil, 422, "validation-failed", "body.due"},
		"path":                {"GET", "/v1/things/urn:s3cr3t:0198c0de-0000-7000-8000-00000000000", "", nil, 422, "validation-failed", "path.id"},
		"invalid UTF-8":       {"GET", "/v1/things/%ff", "", nil, 400, "invalid-url", ""},
		"NUL in query":        {"GET", "/v1/things?cursor=%00", "", nil, 400, "invalid-url", ""},
		"negative limit":      {"GET", "/v1/things?limit=-77", "", nil, 422, "validation-failed", "query.limit"},
		"oversized limit":     {"GET", "/v1/things?limit=1777", "", nil, 422, "validation-failed", "query.limit"},
		"limit not a number":  {"GET", "/v1/things?limit=" + secret, "", nil, 422, "validation-failed", "query.limit"},
		"limit out of range":  {"GET", "/v1/things?limit=77777777777777777777", "", nil, 422, "validation-failed", "query.limit"},
		"forged cursor":       {"GET", "/v1/things?cursor=" + secret, "", nil, 400, "invalid-cursor", ""},
		"forged cursor value": {"GET", "/v1/things?cursor=" + EncodeCursor(map[string]any{"N": secret}), "", nil, 400, "invalid-cursor", ""},
		"panic":               {"GET", "/v1/things/panic", "", nil, 500, "internal", ""},
		"error":               {"GET", "/v1/things/fail", "", nil, 500, "internal", ""},
		"a passing error":     {"GET", "/v1/things/passing", "", nil, 503, "database-unavailable", ""},
		"a refusal":           {"GET", "/v1/things/refused", "", nil, 409, "thing-running", ""},
		"deadline":            {"GET", "/v1/things/slow", "", nil, 503, "timeout", ""},
	} {
		t.Run(name, func(t *testing.T) {
			headers := append([]string{"Authorization", b.bearer("customer"), "X-Key", "abc", "X-Request-Id", "req-1"}, c.headers...)
			answer := b.send(t, c.method, c.target, c.body, headers...)
			p := answer.problem
			if answer.StatusCode != c.status || p.Type != "urn:shop:problem:"+c.kind {
				t.Errorf("got %d %s, want %d %s", answer.StatusCode, p.Type, c.status, c.kind)
			}
			if c.location != "" && (len(p.Errors) == 0 || p.Errors[0].Location != c.location || p.Errors[0].Message == "") {
				t.Errorf("errors are %v, want one at %s", p.Errors, c.location)
			}
			for _, echoed := range []string{secret, "S3CR3T", "hush", "7333", "77", "1e999"} {
				if strings.Contains(strings.ReplaceAll(answer.text, p.TraceID, ""), echoed) {
					t.Errorf("the input %q is in %s", echoed, answer.text)
				}
			}
			if got := answer.Header.Get("X-Request-Id"); got != "req-1" {
				t.Errorf("request id is %q", got)
			}
		})
	}
}

func TestProblemsListFewFaults(t *testing.T) {
	t.Parallel()
	body := `{"name":"x","count":1`
	for i := range 50 {
		body += `,"` + strings.Repeat("x", 200+i) + `":1`
	}
	p := newBench(t, Config{}).post(t, body+"}").problem
	if len(p.Errors) != 20 || len(p.Errors[0].Location) > 100 {
		t.Errorf("%d faults, the first at %q", len(p.Errors), p.Errors[0].Location)
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const limit = 2 << 20 // above huma's own
	b := newBench(t, Config{MaxBodyBytes: limit})
	for size, want := range map[int]int{limit: http.StatusOK, limit + 1: http.StatusRequestEntityTooLarge} {
		body := `{"name":"x","count":1}`
		if answer := b.post(t, body+strings.Repeat(" ", size-len(body))); answer.StatusCode != want {
			t.Errorf("%d bytes: %d %s", size, answer.StatusCode, answer.text)
		}
	}
}

// A client that asks whether to send a body that is too large is answered, and does not send it. A
// body that never arrives holds a connection no longer than the read timeout.
func TestBodiesThatAreNotSent(t *testing.T) {
	t.Parallel()
	begin := func(readTimeout time.Duration, length int, more string) net.Conn {
		b := newBench(t, Config{ReadTimeout: readTimeout})
		conn, err := net.Dial("tcp", serve(t, b.Server))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST /v1/things HTTP/1.1\r\nHost: x\r\nX-Key: abc\r\nContent-Length: %d\r\nAuthorization: %s\r\n%s",
			length, b.bearer("customer"), more)
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		return conn
	}
	for length, want := range map[int]string{16<<10 + 1: "HTTP/1.1 413", 2_000_000: "HTTP/1.1 413", 16 << 10: "HTTP/1.1 100"} {
		line, err := bufio.NewReader(begin(time.Minute, length, "Expect: 100-continue\r\n\r\n")).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("%d bytes: %q %v, want %s", length, line, err, want)
		}
	}
	text, err := io.ReadAll(begin(100*time.Millisecond, 100, "\r\n{"))
	if err != nil || !strings.Contains(string(text), "urn:shop:problem:request-timeout") {
		t.Errorf("a slow body: %v: %s", err, text)
	}
}

// A request that has one of these headers twice is refused, and one with a list in two lines is
// not.
func TestDecisiveHeadersComeOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	good := http.Header{"Authorization": {b.bearer("customer")}, "Content-Type": {"application/json"}, "X-Key": {"abc"},
		"Idempotency-Key": {"k"}, "Accept": {"text/plain"}}
	for name, values := range good {
		for _, all := range [][]string{values, {values[0], values[0]}, {values[0], "other"}, {values[0], ""}} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/things", strings.NewReader(`{"name":"x","count":1}`))
			r.Header = good.Clone()
			r.Header[name] = all
			w := httptest.NewRecorder()
			b.Handler().ServeHTTP(w, r)
			want := http.StatusOK
			if len(all) > 1 && slices.Contains(once, name) {
				want = http.StatusBadRequest
			}
			if w.Code != want || want != http.StatusOK && !strings.Contains(w.Body.String(), "invalid-header") {
				t.Errorf("%s: %q: %d %s", name, all, w.Code, w.Body)
			}
		}
	}
}
