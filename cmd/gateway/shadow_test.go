package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/shop/cmd/gateway/routes"
)

var shadowed = split(100, 0, "65536", "1048576") + "    shadow: { upstream: new, percent: 100, ignore: [/id, '/items/*/at'] }\n"

func (f *facade) tally() (tally routes.Tally) {
	f.things().shadowed.locked(func(t *routes.Tally) { tally = *t })
	return tally
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	const answer = `{"id":1,"name":"ada","items":[{"at":1,"n":1},{"at":2,"n":2}]}`
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{answer, `{"id":2, "items":[{"n":1,"at":7},{"n":2}], "name":"ada"}`, nil},
		{answer, `{"id":1,"name":"grace","items":[{"at":1,"n":1},{"at":2,"n":3}],"a/b":1}`, []string{"/a~1b", "/items/1/n", "/name"}},
		{answer, `{"id":1,"name":"ada","items":[{"at":1,"n":1}]}`, []string{"/items/1"}},
		{answer, `no JSON`, []string{""}},
		{`no JSON`, `nor this`, []string{""}},
		{`no JSON`, `no JSON`, nil},
		{`{"a":null,"b":{}}`, `{"b":[]}`, []string{"/a", "/b"}},
		{`{"~/":9007199254740993}`, `{"~/":9007199254740992}`, []string{"/~0~1"}},
	} {
		if diff := cmp.Diff(c.want, differences([]byte(c.a), []byte(c.b), []string{"/id", "/items/*/at"})); diff != "" {
			t.Errorf("%s and %s: %s", c.a, c.b, diff)
		}
	}
}

func TestShadowsAreCompared(t *testing.T) {
	t.Parallel()
	f := start(t, shadowed)
	var want routes.Tally
	expect := func(request, answer string) {
		t.Helper()
		if got := f.ask(t, request).String(); got != answer {
			t.Errorf("%.60q: %s, want %s", request, got, answer)
		}
		eventually(t, "it is compared", func() bool { return len(f.slots) == 0 })
		if diff := cmp.Diff(want, f.tally(), cmpopts.IgnoreFields(routes.Mismatch{}, "At")); diff != "" {
			t.Errorf("%.60q: %s", request, diff)
		}
	}
	says := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"name":%q}`, name) }
	}
	f.old.answers(says("ada"))
	f.new.answers(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if len(body) > 0 || err != nil || r.ContentLength != 0 || r.RequestURI != "/v1/things?limit=2" ||
			r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("the shadow got %s %s with %v and %q, %v", r.Method, r.URL, r.Header, body, err)
		}
		w.WriteHeader(http.StatusNotFound)
		says("grace")(w, r)
	})
	// A read may have a body. The shadow gets the request without it.
	const read = "GET /v1/things?limit=2\nAuthorization: Bearer t\n"
	want.Compared, want.Mismatched = 1, 1
	want.Mismatches = []routes.Mismatch{{Status: 200, Shadow: 404, Pointers: []string{"/name"}}}
	expect(read+"\nhello", "200 old")
	f.old.answers(says("grace"))
	want.Compared, want.Mismatched = 2, 2
	want.Mismatches = append(want.Mismatches, routes.Mismatch{Status: 200, Shadow: 404})
	expect(read+"Transfer-Encoding: chunked\n\n"+chunks("hello"), "200 old")

	f.old.answers(echo)
	f.new.answers(echo)
	before := f.new.hits.Load()
	expect(post, "200 old")
	expect("DELETE /v1/things", "200 old")
	expect(get+"\n"+sideHeader+": new", "200 new") // it would be compared with itself
	want.Dropped = 1
	expect(get+"\n\n"+strings.Repeat(" ", maxShadowBody+1), "200 old")
	want.Compared = 3
	expect("HEAD /v1/things", "200 old")
	if hits := f.new.hits.Load() - before; hits != 2 {
		t.Errorf("the shadow was reached %d times", hits-1)
	}
	f.new.Close()
	want.Failed = 1
	expect(get, "200 old")
	if f.side("new").Failures > 0 {
		t.Error("a shadow's failure counts as a request's")
	}
}

// Neither a shadow that hangs nor slow clients may use more than the slots, and no client waits.
func TestNoMoreAnswersAreKeptThanThereAreSlots(t *testing.T) {
	t.Parallel()
	f := start(t, shadowed, func(c *config) { c.ShadowTimeout = time.Hour })
	release, releaseShadow := make(chan struct{}), make(chan struct{})
	f.old.answers(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		if r.URL.RawQuery == "cut" {
			panic(http.ErrAbortHandler)
		}
		<-release
	})
	f.new.answers(func(http.ResponseWriter, *http.Request) { <-releaseShadow })
	for range shadowSlots + 1 { // answers that are cut off release their slots
		if response, err := http.Get("http://" + f.addr + "/v1/things?cut"); err == nil {
			response.Body.Close()
		}
		eventually(t, "no slot is taken", func() bool { return len(f.slots) == 0 })
	}
	var group sync.WaitGroup
	for range shadowSlots + 5 {
		group.Go(func() { f.ask(t, get) })
	}
	eventually(t, "those without a slot are dropped at once", func() bool { return f.tally().Dropped == 5 })
	close(release)
	group.Wait()
	began := time.Now()
	for range 20 { // while the shadow hangs
		f.ask(t, get)
	}
	if got, took := f.tally().Dropped, time.Since(began); got != 25 || took > 15*time.Second {
		t.Errorf("%d were dropped, in %s", got, took)
	}
	stopped := make(chan struct{})
	stopping, stop := context.WithCancel(t.Context())
	stop()
	go func() { defer close(stopped); _ = f.drainShadows(stopping) }()
	select {
	case <-stopped:
		t.Error("a stop does not wait for what is being compared")
	case <-time.After(50 * time.Millisecond):
	}
	close(releaseShadow)
	<-stopped
	for range cap(f.slots) { // for the process's own stop
		<-f.slots
	}
	eventually(t, "the others are compared", func() bool { return f.tally().Compared == shadowSlots })
}
