package main

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestWeightsHold(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 30, ""))
	const requests, clients = 20_000, 8
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for i := range requests / clients {
				// A third has a cookie, a third a key, and a third is unknown.
				headers := [][]string{
					{"Cookie", fmt.Sprintf("%s=%d-%d", canaryCookie, c, i)}, {"Idempotency-Key", fmt.Sprintf("key-%d-%d", c, i)}, nil,
				}[i%3]
				if answer, err := b.try(http.MethodGet, "/v1/things", nil, headers...); err != nil || answer.status != http.StatusOK {
					t.Errorf("%v %d", err, answer.status)
					return
				}
			}
		})
	}
	group.Wait()
	share := float64(newer.hits.Load()) * 100 / requests
	t.Logf("%.2f %% reached the side with 30 %%", share)
	if math.Abs(share-30) > 5 || older.hits.Load()+newer.hits.Load() != requests {
		t.Errorf("%d old, %d new of %d", older.hits.Load(), newer.hits.Load(), requests)
	}
	for _, s := range b.page(t).Routes["things"].Sides {
		if want := map[string]int64{"old": older.hits.Load(), "new": newer.hits.Load()}[s.Upstream]; s.Served != want {
			t.Errorf("%s has served %d by its own count, %d by the page", s.Upstream, want, s.Served)
		}
	}
}

func TestAClientStaysAsTheNewSideGrows(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 0, ""))
	const clients = 300
	moved := map[string]bool{}
	for _, weight := range []int{0, 5, 30, 30, 70, 100} {
		b.replace(t, table2(older.URL, newer.URL, weight, fmt.Sprintf("# %d\n", len(moved))))
		for i := range clients {
			for _, headers := range [][]string{
				// The cookie wins.
				{"Cookie", fmt.Sprintf("%s=client-%d", canaryCookie, i), "Idempotency-Key", fmt.Sprintf("%d-%d", weight, i)},
				{"Idempotency-Key", fmt.Sprintf("client-%d", i)},
			} {
				client := fmt.Sprint(headers[0], i)
				side := b.get(t, "/v1/things/x", headers...).side()
				if moved[client] && side != "new" {
					t.Errorf("%s went back to %s at %d %%", client, side, weight)
				}
				moved[client] = moved[client] || side == "new"
			}
		}
		count := 0
		for _, m := range moved {
			if m {
				count++
			}
		}
		if share := count * 100 / (2 * clients); share < weight-8 || share > weight+8 {
			t.Errorf("%d %% of the clients are on the new side at %d %%", share, weight)
		}
	}
}

func TestAnUnknownClientIsRecognizedTheNextTime(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 50, ""))
	for range 20 {
		first := b.get(t, "/v1/things")
		cookie, err := http.ParseSetCookie(first.header.Get("Set-Cookie"))
		if err != nil || cookie.Name != canaryCookie || !cookie.HttpOnly {
			t.Fatalf("the cookie is %v, %v", cookie, err)
		}
		for range 3 {
			next := b.get(t, "/v1/things", "Cookie", "a=b; "+cookie.Name+"="+cookie.Value)
			if next.side() != first.side() || next.header.Get("Set-Cookie") != "" {
				t.Errorf("%s, then %s with the cookie %q", first.side(), next.side(), next.header.Get("Set-Cookie"))
			}
		}
	}
	b.replace(t, table2(older.URL, newer.URL, 100, ""))
	if cookie := b.get(t, "/v1/things").header.Get("Set-Cookie"); cookie != "" {
		t.Errorf("there is one side, and still a cookie: %s", cookie)
	}
}

func TestAKeyAndItsCookieAgree(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 50, ""))
	for i := range 100 {
		key := fmt.Sprintf("key-%d", i)
		first := b.get(t, "/v1/things", "Idempotency-Key", key)
		cookie, _, _ := strings.Cut(first.header.Get("Set-Cookie"), ";")
		if strings.Contains(cookie, key) {
			t.Fatalf("the cookie contains the key: %s", cookie)
		}
		for _, headers := range [][]string{{"Idempotency-Key", key}, {"Idempotency-Key", key, "Cookie", cookie}, {"Cookie", cookie}, {"Idempotency-Key", "another", "Cookie", cookie}} {
			if side := b.get(t, "/v1/things", headers...).side(); side != first.side() {
				t.Errorf("%s went from %s to %s with %v", key, first.side(), side, headers)
			}
		}
	}
}

func TestASideCanBeForced(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 0, ""))
	for range 10 {
		if side := b.send(t, http.MethodPost, "/v1/things", "{}", sideHeader, "new").side(); side != "new" {
			t.Fatalf("asked for new and got %s", side)
		}
	}
	if answer := b.get(t, "/v1/things", sideHeader, "ledger"); answer.status != http.StatusBadRequest || answer.problem(t) != "no-such-side" {
		t.Errorf("a side that is not there: %d", answer.status)
	}
	newer.answersStatus(http.StatusServiceUnavailable)
	if answer := b.get(t, "/v1/things", sideHeader, "new"); answer.status != http.StatusServiceUnavailable || answer.side() != "new" {
		t.Errorf("a forced request turned to %s", answer.side())
	}
}

func TestAWriteCannotBeForcedToAnotherHome(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	const file = `
upstreams: { old: { url: %q }, new: { url: %q } }
routes:
  things:
    prefix: /v1/things
    sides: [{ upstream: old, weight: %d, home: shop }, { upstream: new, weight: %d, home: things }]
`
	b := start(t, fmt.Sprintf(file, older.URL, newer.URL, 100, 0))
	if side := b.get(t, "/v1/things", sideHeader, "new").side(); side != "new" {
		t.Errorf("a read was answered by %s", side)
	}
	for _, weight := range []int{100, 0} { // served by the old side, and paused
		b.replace(t, fmt.Sprintf(file, older.URL, newer.URL, weight, 0))
		answer := b.send(t, http.MethodPost, "/v1/things", "{}", sideHeader, "new")
		if answer.status != http.StatusConflict || answer.problem(t) != "not-the-home" {
			t.Errorf("a write to the home that is not written to: %d", answer.status)
		}
	}
	paused := b.get(t, "/v1/things")
	if paused.status != http.StatusServiceUnavailable || paused.problem(t) != "paused" || paused.header.Get("Retry-After") == "" {
		t.Errorf("paused: %d %v", paused.status, paused.header)
	}
	b.replace(t, fmt.Sprintf(file, older.URL, newer.URL, 0, 100))
	if side := b.send(t, http.MethodPost, "/v1/things", "{}").side(); side != "new" {
		t.Errorf("after the move %s has answered", side)
	}
	if newer.hits.Load() != 2 {
		t.Errorf("the new side was reached %d times, want 2", newer.hits.Load())
	}
}

func TestTheLongestPrefixWins(t *testing.T) {
	t.Parallel()
	of := func(routes ...string) *table {
		text := "upstreams: { old: { url: http://old } }\nroutes:\n"
		for _, r := range routes {
			text += "  " + strings.Replace(r, "=", ": { sides: [{ upstream: old, weight: 100, home: shop }], prefix: ", 1) + " }\n"
		}
		table, err := newTable(config{}, []byte(text), &table{})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	all := of("root=/", "things=/v1/things", "new=/v1/things/new")
	some := of("things=/v1/things", "new=/v1/things/new")
	for path, want := range map[string]string{
		"/v1/things": "things", "/v1/things/": "things", "/v1/things/7": "things", "/v1/things/new": "new", "/v1/things/new/7": "new",
		"/v1/things/newer": "things", "/v1/things2": "", "/v1": "", "/": "", "*": "", "": "",
	} {
		if r := some.match(path); (r == nil) != (want == "") || r != nil && r.name != want {
			t.Errorf("%q goes to %+v, want %q", path, r, want)
		}
	}
	if r := all.match("/favicon.ico"); r == nil || r.name != "root" {
		t.Errorf("the rest goes to %+v", r)
	}
}
