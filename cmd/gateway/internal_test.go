package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/cmd/gateway/routes"
)

// withRates is a route of which a part is for the shop's own processes.
func withRates(replace ...string) string {
	return split(100, 0, append(replace, "resend: true", "resend: true\n    internal: [/v1/things/rates]")...)
}

// from returns the façade with its other address, to which ask sends.
func (f *facade) from(addr string) *facade {
	other := *f
	other.addr = addr
	return &other
}

func TestAnInternalPartIsServedInsideAlone(t *testing.T) {
	t.Parallel()
	f := start(t, withRates())
	inside := f.from(f.inside)
	for _, path := range []string{
		"/v1/things/rates", "/v1/things/rates/", "/v1/things/rates/x", "/v1/things/rates?x", "/v1/things/%72ates", "/v1/things%2Frates",
	} {
		for _, method := range []string{"GET ", "POST ", "OPTIONS "} {
			f.expect(t, method+path, "404 no-such-route 0+0")
			inside.expect(t, method+path, "200 old 1+0")
		}
	}
	for _, path := range []string{"/v1/things", "/v1/things/x", "/v1/things/ratesx", "/v1/things/rate"} {
		f.expect(t, "GET "+path, "200 old 1+0")
		inside.expect(t, "GET "+path, "404 no-such-route 0+0")
	}
	f.expect(t, "GET /v2", "404 no-such-route 0+0")
	inside.expect(t, "GET /v2", "404 no-such-route 0+0")

	f.apply(t, split(100, 0)) // it is not internal any more
	f.expect(t, "GET /v1/things/rates", "200 old 1+0")
	inside.expect(t, "GET /v1/things/rates", "404 no-such-route 0+0")
}

// Outside, one request and one body are all that there may be, and they hang.
func TestAFloodOutsideTakesNoPlaceInside(t *testing.T) {
	t.Parallel()
	f := start(t, withRates(), func(c *config) { c.MaxRequests, c.MaxBodies, c.AddressRate = 1, 1, 1 })
	inside, entered, release := f.from(f.inside), make(chan bool), make(chan bool)
	f.old.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/things" {
			entered <- true
			<-release
		}
		echo(w, r)
	})
	done := make(chan reply)
	go func() { done <- f.ask(t, get) }()
	<-entered
	f.expect(t, get, "503 overloaded 0+0")
	f.expect(t, get, "429 too-many-requests 0+0")
	for range 5 {
		if answer := inside.expect(t, "POST /v1/things/rates\n\n{}", "200 old 1+0"); answer.body != "{}" {
			t.Errorf("the body is %q", answer.body)
		}
	}
	close(release)
	if answer := (<-done).String(); answer != "200 old" {
		t.Error("the request under way:", answer)
	}
}

// What has its own count inside is counted with its route, and follows its weights.
func TestAnInternalPartIsShownWithItsRoute(t *testing.T) {
	t.Parallel()
	f := start(t, withRates())
	inside, entered, release := f.from(f.inside), make(chan bool), make(chan bool)
	f.old.answers(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-release
		echo(w, r)
	})
	const ask = "GET /v1/things/rates"
	done := make(chan reply)
	go func() { done <- inside.ask(t, ask) }()
	<-entered
	f.apply(t, withRates("old, weight: 100", "old, weight: 0", "new, weight: 0", "new, weight: 100"))
	inside.expect(t, ask, "200 new 0+1")
	if page := f.applied(t).Routes["things"]; page.UnderWay != 1 || !cmp.Equal(page.Internal, []string{"/v1/things/rates"}) {
		t.Errorf("the page has %+v", page)
	}
	close(release)
	<-done
	eventually(t, "nothing is under way", func() bool { return f.applied(t).Routes["things"].UnderWay == 0 })
}

// The page has all that the file says of a route, but its shadow.
func TestThePageHasWhatTheFileSays(t *testing.T) {
	t.Parallel()
	f := start(t, withRates())
	want, err := routes.Parse(f.fill(withRates()))
	must(t, err)
	if diff := cmp.Diff(want, f.applied(t).File()); diff != "" {
		t.Error(diff)
	}
}

// applied returns what GET /routes says.
func (f *facade) applied(t *testing.T) (page routes.Page) {
	t.Helper()
	must(t, json.Unmarshal([]byte(f.page()), &page))
	return page
}
