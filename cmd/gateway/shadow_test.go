package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/cmd/gateway/routes"
)

const shadowed = "    shadow: { upstream: new, percent: 100, ignore: [/id, '/items/*/at'] }\n"

func TestShadowsAreCompared(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	older.answers(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":1,"name":"ada","items":[{"at":1,"n":1},{"at":2,"n":2}]}`)
	})
	b := start(t, table2(older.URL, newer.URL, 0, shadowed))
	tally := func() *routes.Tally { return b.page(t).Routes["things"].Shadow }
	for i, c := range []struct {
		status   int
		body     string
		pointers []string // nil for no mismatch
	}{
		{200, `{"id":2, "items":[{"n":1,"at":7},{"n":2}], "name":"ada"}`, nil},
		{200, `{"id":1,"name":"grace","items":[{"at":1,"n":1},{"at":2,"n":3}],"a/b":1}`, []string{"/a~1b", "/items/1/n", "/name"}},
		{200, `{"id":1,"name":"ada","items":[{"at":1,"n":1}]}`, []string{"/items/1"}},
		{200, `no JSON`, []string{""}},
		{404, `{"id":1,"name":"ada","items":[{"at":1,"n":1},{"at":2,"n":2}]}`, []string{}},
	} {
		newer.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "limit=2" || r.Header.Get("Authorization") != "Bearer t" || r.Method != http.MethodGet {
				t.Errorf("the shadow got %s %s", r.Method, r.URL)
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		before := tally()
		if side := b.get(t, "/v1/things?limit=2", "Authorization", "Bearer t").side(); side != "old" {
			t.Fatalf("the client was answered by %s", side)
		}
		eventually(t, "the answer is compared", func() bool { return tally().Compared == int64(i+1) })
		after := tally()
		if (c.pointers != nil) != (after.Mismatched > before.Mismatched) {
			t.Errorf("%s: %+v", c.body, after)
		}
		if c.pointers == nil {
			continue
		}
		last := after.Mismatches[len(after.Mismatches)-1]
		if diff := cmp.Diff(append([]string{}, last.Pointers...), c.pointers); diff != "" || last.Shadow != c.status || last.Status != 200 {
			t.Errorf("%s: %+v %s", c.body, last, diff)
		}
		if text := fmt.Sprintf("%+v", after); strings.Contains(text, "ada") || strings.Contains(text, "grace") {
			t.Errorf("there are values in %s", text)
		}
	}
}

func TestAShadowDelaysNoClient(t *testing.T) {
	t.Parallel()
	older, slow := newServer(t), newServer(t)
	release := make(chan struct{})
	slow.answers(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	let := sync.OnceFunc(func() { close(release) })
	for name, url := range map[string]string{"slow": slow.URL, "dead": deadURL(t)} {
		b := start(t, table2(older.URL, url, 0, shadowed), func(c *config) { c.ShadowTimeout = time.Hour })
		t.Cleanup(let) // before the gateway waits for its comparisons
		const requests = 500
		began := time.Now()
		for range requests {
			if answer := b.get(t, "/v1/things"); answer.status != http.StatusOK || answer.side() != "old" {
				t.Fatalf("%s: %d by %s", name, answer.status, answer.side())
			}
		}
		if took := time.Since(began); took > 20*time.Second { // much less on an idle machine
			t.Errorf("%s: %d requests took %s", name, requests, took)
		}
		tally := func() *routes.Tally { return b.page(t).Routes["things"].Shadow }
		switch name {
		case "slow":
			eventually(t, "what has no slot is dropped", func() bool { return tally().Dropped == requests-shadowSlots })
		case "dead":
			eventually(t, "all have failed", func() bool { return tally().Failed+tally().Dropped == requests && tally().Failed > 0 })
			if b.health(t, "new").Failures > 0 {
				t.Error("shadows count as failed requests")
			}
		}
	}
}

// An answer is kept while its client reads it, so without slots every client could keep one.
func TestNoMoreAnswersAreKeptThanThereAreSlots(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	release := make(chan struct{})
	older.answers(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		if r.URL.RawQuery == "cut" {
			cut(w, r)
		}
		<-release
	})
	b := start(t, table2(older.URL, newer.URL, 0, shadowed))
	tally := func() *routes.Tally { return b.page(t).Routes["things"].Shadow }
	for range 2 * shadowSlots { // answers that are cut off release their slots
		b.try(http.MethodGet, "/v1/things?cut", nil)
		eventually(t, "no slot is taken", func() bool { return len(b.shadows.slots) == 0 })
	}
	var group sync.WaitGroup
	for range shadowSlots + 5 {
		group.Go(func() { b.get(t, "/v1/things") })
	}
	eventually(t, "those without a slot are dropped at once", func() bool { return tally().Dropped == 5 })
	close(release)
	group.Wait()
	eventually(t, "the others are compared", func() bool { return tally().Compared == shadowSlots })
}

func TestOnlyAnsweredReadsAreShadowed(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 0, shadowed))
	tally := func() *routes.Tally { return b.page(t).Routes["things"].Shadow }
	b.send(t, http.MethodPost, "/v1/things", "{}")
	b.send(t, http.MethodDelete, "/v1/things", "")
	b.get(t, "/v1/things", sideHeader, "new") // it would be compared with itself
	older.answers(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", maxShadowBody+1)) })
	b.get(t, "/v1/things")
	older.answersStatus(http.StatusOK)
	b.send(t, http.MethodHead, "/v1/things", "") // the only one
	eventually(t, "the head is compared", func() bool { return tally().Compared == 1 })
	if got := tally(); got.Dropped != 1 || got.Mismatched != 0 || newer.hits.Load() != 2 {
		t.Errorf("%+v, and the shadow was reached %d times", got, newer.hits.Load())
	}
}
