package acceptance

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/architecture"
	"example.com/shop/platform/devkit/tokens"
)

var modules = architecture.Modules()

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
	name  string // its method and route
	route string // with the names of what is in its path
	request
	roles []string // none if it is public
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// operations returns all operations of the modules' OpenAPI documents, each with a value for what
// is in its path.
func operations(t *testing.T) (all []operation) {
	t.Helper()
	for _, module := range modules {
		before := len(all)
		document := get[struct {
			Paths map[string]map[string]struct{ Security []map[string][]string }
		}](t, "", "/v1/"+module+"/openapi.json")
		for path, methods := range document.Paths {
			for method, described := range methods {
				o := operation{name: method + " " + path, route: path, request: request{
					method: strings.ToUpper(method), path: parameter.ReplaceAllString(path, uuid.NewString()),
					key: uuid.NewString(), body: "{}"}}
				for _, alternative := range described.Security {
					o.roles = append(o.roles, alternative["bearer"]...)
				}
				all = append(all, o)
			}
		}
		if len(all) == before {
			t.Errorf("the document of %s describes no operation", module)
		}
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
				r := o.request
				r.key, r.header = uuid.NewString(), http.Header{header[0]: {header[1]}}
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

// other returns the audience that tokens of the role are not for.
func other(role string) string {
	if role == "service" {
		return tokens.Audience
	}
	return tokens.ServiceAudience
}

// Every operation that is not public refuses what is no token of ours, and the roles that its
// document does not name.
func TestTokens(t *testing.T) {
	t.Parallel()
	var long strings.Builder
	for long.Len() < 6000 { // of what cannot be compressed to fit an index
		long.WriteString(uuid.NewString())
	}
	for _, o := range operations(t) {
		if len(o.roles) == 0 {
			continue
		}
		role := o.roles[0]
		for flaw, tk := range map[string]string{
			"expired":                 token{subject: "ada", role: role, ttl: -time.Minute}.mint(),
			"wrong audience":          token{subject: "ada", role: role, audience: "elsewhere"}.mint(),
			"another role's audience": token{subject: "ada", role: role, audience: other(role)}.mint(),
			"for years":               token{subject: "ada", role: role, ttl: 1000 * time.Hour}.mint(),
			"unknown role":            token{subject: "ada", role: "owner"}.mint(),
			"wrong issuer":            token{subject: "ada", role: role, issuer: "https://elsewhere.example"}.mint(),
			"too long":                token{subject: long.String(), role: role}.mint(),
			"no token":                "", "garbage": secret, "unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
		} {
			t.Run(o.name+"/"+flaw, func(t *testing.T) {
				t.Parallel()
				r := o.request
				r.token = tk
				a := r.send(t)
				checkProblem(t, a, http.StatusUnauthorized, "unauthenticated")
				if a.header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			})
		}
		for _, other := range []string{"customer", "staff", "service"} {
			if slices.Contains(o.roles, other) {
				continue
			}
			t.Run(o.name+"/as "+other, func(t *testing.T) {
				t.Parallel()
				r := o.request
				r.token = token{subject: "ada", role: other}.mint()
				checkProblem(t, r.send(t), http.StatusForbidden, "forbidden")
			})
		}
	}
}

// A client that announces too large a body with Expect is answered before it sends the body.
func TestABodyThatSaysItIsTooLarge(t *testing.T) {
	t.Parallel()
	for _, o := range operations(t) {
		if o.method != http.MethodPost {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			address, err := url.Parse(cmp.Or(o.base, system.url))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", address.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n", o.path, address.Host)
			if len(o.roles) > 0 {
				fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", token{subject: "ada", role: o.roles[0]}.mint())
			}
			fmt.Fprint(conn, "\r\n")
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 413") {
				t.Errorf("%q %v", line, err)
			}
		})
	}
}

func TestWhatIsNotRouted(t *testing.T) {
	t.Parallel()
	tests := map[string]refused{"no such route": {request{method: http.MethodGet, path: "/v1/" + secret}, http.StatusNotFound, "no-such-route"}}
	all := operations(t)
	for _, o := range all {
		if slices.ContainsFunc(all, func(other operation) bool { return other.route == o.route && other.method == http.MethodDelete }) {
			continue
		}
		wrong := o.request
		if wrong.method = http.MethodDelete; len(o.roles) > 0 {
			wrong.token = token{subject: "ada", role: o.roles[0]}.mint()
		}
		tests["wrong method/"+o.route] = refused{wrong, http.StatusMethodNotAllowed, "method-not-allowed"}
	}
	checkProblems(t, tests)
}

// external matches what a page loads from elsewhere.
var external = regexp.MustCompile(`(src|href)=["'](https?:)?//[^"']*`)

func TestDocumentsWorkOffline(t *testing.T) {
	t.Parallel()
	for _, module := range modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			document := get[map[string]any](t, "", "/v1/"+module+"/openapi.json")
			if v, _ := document["openapi"].(string); !strings.HasPrefix(v, "3.1") {
				t.Errorf("openapi %v", document["openapi"])
			}
			docs := request{method: http.MethodGet, path: "/v1/" + module + "/docs/"}.send(t)
			if docs.status != http.StatusOK {
				t.Errorf("docs %d", docs.status)
			}
			if loaded := external.Find(docs.body); loaded != nil {
				t.Errorf("the page loads %s", loaded)
			}
		})
	}
}
