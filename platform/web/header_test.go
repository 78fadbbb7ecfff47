package web

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// malformed are headers that something between the socket and a handler reads, with values that it
// may stumble over.
var malformed = map[string][]string{
	"Accept": {
		"text/html;,application/json", "application/json;,x", "text/html;q=0.9;,*/*", "a; ,b", ";", ";,", "a;q=", "a;q=x,b;q=-1",
		"a;q=0", "json", "application/xml", "application/json;q=0", "\xff;,\xff", strings.Repeat("a;,", 500), "*/*",
	},
	"Accept-Encoding":   {";", ",", "gzip;", "gzip;q=;,", ";q=1", "br;q=x", "identity;q=0,*;q=0", "\xff"},
	"Authorization":     {"Bearer", " ", "Bearer \xff", "Basic " + strings.Repeat("x", 4000), "Bearer " + strings.Repeat(".", 4000)},
	"Content-Type":      {";", "+", ";+", "application/json;+", "+json", "application/json; charset=\xff", "/", "multipart/form-data"},
	"If-Modified-Since": {"x", "Mon, 00 Jan 0000 99:99:99 GMT"},
	"If-None-Match":     {`"`, "W/", "*", ","},
	"If-Range":          {`"`, "W/"},
	"Range":             {"bytes=", "bytes=-", "bytes=9-1", "bytes=0-18446744073709551616", ",", "bytes=" + strings.Repeat("0-0,", 500)},
	"Traceparent":       {"-", "00-", "00-0-0-0", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "\xff"},
	"Tracestate":        {"=", ",", "a=" + strings.Repeat("b", 8000), "\xff"},
	"Baggage":           {"=", "a=%zz", "\xff"},
	"User-Agent":        {"\xff"},
	"X-Forwarded-For":   {",", "\xff", "::1%\xff"},
	"X-Request-Id":      {"\xff", strings.Repeat("x", 8000), "a\tb"},
	"X-Key":             {"\xff", "A"},
}

// No header makes an answer that is an accident, wherever it stands: at a handler, at a problem, at
// a page.
func TestNoHeaderBreaksAnAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	for name, values := range malformed {
		for _, value := range values {
			for _, target := range []string{
				"POST /v1/things", "GET /v1/things", "GET /v1/things/who", "GET /v1/things/0198c0de-0000-7000-8000-000000000000",
				"GET /v1/things/openapi.json", "GET /v1/things/docs/", "GET /v1/nothing", "DELETE /v1/things",
			} {
				method, path, _ := strings.Cut(target, " ")
				answer := b.send(t, method, path, `{"name":"x","count":1}`,
					"Authorization", b.bearer("customer"), "X-Key", "abc", name, value)
				posted := answer.StatusCode == 200 && answer.Header.Get("Content-Type") == "application/json"
				if answer.StatusCode >= 500 || strings.HasPrefix(name, "Accept") && method == "POST" && !posted {
					t.Errorf("%s with %s: %.60q is %d %s", target, name, value, answer.StatusCode, answer.text)
				}
			}
		}
	}
}

// gone is a client to whom nothing can be written any more, although the server has not noticed
// yet.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A client that does not read its answer is no accident of ours.
func TestAnAnswerThatIsNotRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.Handler().ServeHTTP(gone{httptest.NewRecorder()},
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/things", http.NoBody))
	if log := b.log.String(); !strings.Contains(log, `"status":200`) || strings.Contains(log, "panic") {
		t.Errorf("logged %s", log)
	}
}
