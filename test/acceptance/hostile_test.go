package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// malformed are headers that are read before a handler, with malformed values.
var malformed = [][2]string{
	{"Accept", "text/html;,application/json"}, {"Accept", "a; ,b"}, {"Accept", "text/html;q=0.9;,*/*"}, {"Accept", "json"}, {"Accept", ";"},
	{"Accept-Encoding", "gzip;q=;,"}, {"Accept-Encoding", ";q=1"}, {"Authorization", "Bearer \xff"}, {"Content-Type", ";+"}, {"Content-Type", "+json"},
	{"Content-Encoding", "gzip"}, {"Cookie", ";=\xff;"}, {"Forwarded", "for=\xff"}, {"If-Match", `"`}, {"If-None-Match", "W/"}, {"If-Modified-Since", "x"},
	{"If-Range", `"`}, {"Idempotency-Key", "\xc5\x81"}, {"Prefer", ";"}, {"Range", "bytes=9-1,"}, {"Traceparent", "00-0-0-0"}, {"Tracestate", "=" + strings.Repeat("a", 8000)},
	{"User-Agent", "\xff"}, {"X-Forwarded-For", ",\xff"}, {"X-Request-Id", "\xff"}, {"X-Seam-Upstream", "\xff"},
}

// operation is an operation of a module's OpenAPI document.
type operation struct {
	name, method, path string
	roles              []string
}

// operations returns all operations of the modules' OpenAPI documents.
func operations(t *testing.T) (all []operation) {
	t.Helper()
	for _, module := range []string{"orders", "inventory", "payments", "notifications"} {
		document := get[struct {
			Paths map[string]map[string]struct{ Security []map[string][]string }
		}](t, "", "/v1/"+module+"/openapi.json")
		for path, methods := range document.Paths {
			for method, described := range methods {
				o := operation{name: method + " " + path, method: strings.ToUpper(method)}
				o.path = strings.NewReplacer("{id}", uuid.NewString(), "{sku}", "no-such-tea").Replace(path)
				for _, alternative := range described.Security {
					o.roles = append(o.roles, alternative["bearer"]...)
				}
				all = append(all, o)
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("the documents describe only %v", all)
	}
	return all
}

// No header on any route, with or without a token, causes a 5xx, or an error that is no problem.
func TestMalformedHeaders(t *testing.T) {
	t.Parallel()
	for _, o := range operations(t) {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			for i, header := range malformed {
				r := request{method: o.method, path: o.path, key: uuid.NewString(), body: "{}",
					header: http.Header{header[0]: {header[1]}}}
				switch header[0] {
				case "Authorization":
				case "Idempotency-Key":
					r.key = ""
					fallthrough
				default:
					// Every fourth has no token: that problem is written elsewhere.
					if len(o.roles) > 0 && i%4 > 0 {
						r.token = token{subject: "ada", role: o.roles[0]}.mint()
					}
				}
				a := r.send(t)
				var p problem
				if a.status >= 500 || a.status >= 400 && (json.Unmarshal(a.body, &p) != nil || p.Status != a.status || a.header.Get("Content-Type") != "application/problem+json") {
					t.Errorf("%s: %.40q is %d %s", header[0], header[1], a.status, a.body)
				}
			}
		})
	}
}

// An order is answered whatever the client accepts.
func TestAnOrderIsAnsweredWhateverIsAccepted(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	for _, accept := range []string{"text/html;,application/json", "application/json;,x", "text/html;q=0.9;,*/*", "a; ,b", "application/xml"} {
		key := uuid.NewString()
		place := func(accept string) order {
			a := request{
				method: http.MethodPost, path: "/v1/orders", token: c.token, key: key, header: http.Header{"Accept": {accept}},
				body: placement{c.email, "tok_ok", []line{{"honey-linden", 1}}},
			}.send(t)
			return decode[order](t, a, http.StatusCreated)
		}
		if first, again := place(accept), place("application/json"); first.ID != again.ID {
			t.Errorf("%s: orders %s and %s", accept, first.ID, again.ID)
		}
	}
}

func TestATokenThatIsTooLong(t *testing.T) {
	t.Parallel()
	var subject strings.Builder
	for subject.Len() < 6000 { // of what cannot be compressed to fit an index
		subject.WriteString(uuid.NewString())
	}
	a := request{
		method: http.MethodPost, path: "/v1/orders", token: token{subject: subject.String(), role: "customer"}.mint(), key: uuid.NewString(),
		body: placement{"ada@mail.example", "tok_ok", []line{{"honey-linden", 1}}},
	}.send(t)
	checkProblem(t, a, http.StatusUnauthorized, "unauthenticated")
}

// A client that announces too large a body with Expect is answered before it sends the body.
func TestABodyThatSaysItIsTooLarge(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(shop.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "POST /v1/orders HTTP/1.1\r\nHost: %s\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\nAuthorization: Bearer %s\r\n\r\n",
		address.Host, newCustomer(t).token)
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 413") {
		t.Errorf("%q %v", line, err)
	}
}
