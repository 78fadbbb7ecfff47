package main

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestAFailingSideIsEjectedAndTriedAgain(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	newer.answersStatus(http.StatusServiceUnavailable)
	const pause = 300 * time.Millisecond
	b := start(t, table2(older.URL, newer.URL, 99, ""), func(c *config) { c.EjectAfter, c.EjectFor = 3, pause })
	ejected := func() bool { return b.health(t, "new").Ejected }
	eventually(t, "the new side is ejected", func() bool {
		if answer := b.get(t, "/v1/things"); answer.status != http.StatusOK {
			t.Fatalf("a read got %d while the old side is well", answer.status)
		}
		return ejected()
	})
	if newer.hits.Load() != 3 {
		t.Errorf("it was ejected after %d failures, want 3", newer.hits.Load())
	}
	// For ten pauses, at most one request in each tries it.
	began := time.Now()
	for time.Since(began) < 10*pause {
		if answer := b.get(t, "/v1/things"); answer.status != http.StatusOK {
			t.Fatalf("a read got %d", answer.status)
		}
	}
	if trials := newer.hits.Load() - 3; trials < 5 || trials > 10 {
		t.Errorf("it was tried %d times in 10 pauses", trials)
	}
	newer.answersStatus(http.StatusOK)
	eventually(t, "the new side is back", func() bool { b.get(t, "/v1/things"); return !ejected() })
	if side := b.get(t, "/v1/things", "Cookie", canaryCookie+"=ada").side(); side != "new" {
		t.Errorf("its client is served by %s", side)
	}
}

func TestEjectedSidesServeWhereThereIsNoOther(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 50, ""), func(c *config) { c.EjectAfter, c.EjectFor = 1, time.Hour })
	older.answersStatus(http.StatusBadGateway)
	newer.answersStatus(http.StatusBadGateway)
	for range 50 {
		b.send(t, http.MethodPost, "/v1/things", "{}")
	}
	if hits := older.hits.Load() + newer.hits.Load(); hits != 50 {
		t.Errorf("%d of 50 writes reached an upstream", hits)
	}
	older.answersStatus(http.StatusOK)
	eventually(t, "the old side serves all requests", func() bool { return b.get(t, "/v1/things").side() == "old" })
	before := newer.hits.Load()
	for range 50 {
		if answer := b.get(t, "/v1/things"); answer.status != http.StatusOK {
			t.Errorf("got %d", answer.status)
		}
	}
	if newer.hits.Load() != before {
		t.Error("the side that is out was asked while another one is well")
	}
}

func TestASideThatIsOutIsBetterThanADeadOne(t *testing.T) {
	t.Parallel()
	newer := newServer(t)
	b := start(t, table2(deadURL(t), newer.URL, 50, ""), func(c *config) { c.EjectAfter, c.EjectFor = 1, time.Hour })
	newer.answersStatus(http.StatusBadGateway)
	b.get(t, "/v1/things", sideHeader, "new") // now it is out
	newer.answersStatus(http.StatusNoContent)
	for i := range 50 {
		if answer := b.send(t, http.MethodPost, "/v1/things", "{}", "Cookie", fmt.Sprint(canaryCookie, "=", i)); answer.status != http.StatusNoContent {
			t.Fatalf("write %d got %d", i, answer.status)
		}
	}
}

func TestConnectionErrorsEject(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	b := start(t, table2(older.URL, deadURL(t), 99, ""))
	for range 200 {
		if answer := b.send(t, http.MethodPost, "/v1/things", "{}"); answer.status != http.StatusOK {
			t.Fatalf("a write that was never sent got %d", answer.status)
		}
	}
	if !b.health(t, "new").Ejected {
		t.Error("a dead upstream is not ejected")
	}
}

// A restart may fall between two probes. The process must be back when the next one restarts.
func TestAQuickRestartDoesNotEject(t *testing.T) {
	t.Parallel()
	older, newer, ops := newServer(t), newServer(t), newServer(t)
	addr := newer.Listener.Addr().String()
	b := start(t, fmt.Sprintf(`
upstreams: { old: { url: %q }, new: { url: %q, probe: %q } }
routes: { things: { prefix: /v1/things, sides: [{ upstream: old, weight: 1, home: shop }, { upstream: new, weight: 99, home: shop }] } }
`, older.URL, newer.URL, ops.URL), func(c *config) { c.EjectAfter, c.EjectFor = 3, time.Hour })
	newer.Close()
	for range 20 {
		if answer := b.send(t, http.MethodPost, "/v1/things", "{}"); answer.status != http.StatusOK {
			t.Fatalf("a write that was never sent got %d", answer.status)
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	again := &http.Server{Handler: newer.Config.Handler}
	go again.Serve(listener)
	t.Cleanup(func() { again.Close() })
	eventually(t, "it serves again", func() bool {
		return b.get(t, "/v1/things", "Cookie", canaryCookie+"=ada").side() == "new"
	})
	// A side that answers with errors stays ejected, also when its probe succeeds.
	newer.answersStatus(http.StatusBadGateway)
	eventually(t, "it is out", func() bool { b.get(t, "/v1/things"); return b.health(t, "new").Ejected })
	asked := ops.hits.Load()
	eventually(t, "it is probed", func() bool { return ops.hits.Load() > asked+2 })
	if !b.health(t, "new").Ejected {
		t.Error("a probe has ended the ejection of a failing side")
	}
}

func TestOnlyOneTriesAfterAPause(t *testing.T) {
	t.Parallel()
	u := &upstream{ejectAfter: 2, ejectFor: time.Hour}
	u.record(true, false)
	if !u.admits() {
		t.Error("out after one failure of two")
	}
	u.record(true, false)
	if u.admits() {
		t.Error("in after two")
	}
	u.until = time.Now() // the pause is over
	if !u.admits() || u.admits() {
		t.Error("want exactly one trial while its result is unknown")
	}
	u.record(false, false)
	for range 2 {
		if !u.admits() {
			t.Error("still out after a success")
		}
	}
}
