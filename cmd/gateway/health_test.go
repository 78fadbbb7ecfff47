package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

func ejectAtOnce(c *config) { c.EjectAfter, c.EjectFor = 1, time.Hour }

func TestASideThatIsOut(t *testing.T) {
	t.Parallel()
	const ofNew = get + "\nCookie: " + canaryCookie + "=grace" // she is among the new side's half
	f := start(t, split(50, 50), ejectAtOnce)
	f.old.answers(status(502))
	f.expect(t, get, "200 new 1+1 failed")
	f.expect(t, get, "200 new 0+1 failed")
	f.new.answers(status(502))
	f.expect(t, post, "502 new 0+1 failed")
	f.expect(t, post, "502 old 1+0 failed") // both are out: better than no answer
	f.old.answers(echo)
	f.expect(t, get, "200 old 1+0 failed")
	f.expect(t, ofNew, "200 old 1+0 failed")
	// A side that is out is better than a dead one.
	f.apply(t, split(50, 50, "OLD", dead))
	f.new.answers(status(204))
	f.expect(t, post, "204 new 0+1 failed")
	f.expect(t, ofNew, "204 new 0+1 failed")
}

// ops answers probes with the status of their path; without one there is no answer.
type ops map[string]int

func (o ops) RoundTrip(r *http.Request) (*http.Response, error) {
	code, answers := o[r.URL.Path]
	if !answers {
		return nil, errors.New("no answer")
	}
	return &http.Response{StatusCode: code, Body: &unread{strings.NewReader("a page")}}, nil
}

// unread is a body that must be read to its end, so that its connection is used again.
type unread struct{ *strings.Reader }

func (u *unread) Close() error {
	if u.Len() > 0 {
		panic("the connection is lost")
	}
	return nil
}

func TestEjectionsAndProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		log := slog.New(slog.NewTextHandler(&lines, nil))
		u := newUpstream(config{EjectAfter: 3, EjectFor: time.Minute}, "things", routes.Upstream{Probe: "http://ops/readyz"})
		expect := func(when string, want ...bool) {
			t.Helper()
			for i, in := range want {
				if u.admits() != in {
					t.Errorf("%s: request %d is admitted: %v", when, i, !in)
				}
			}
		}
		fail := func(times int) {
			for range times {
				u.record(true, false)
			}
		}
		probe := func(module, process int) {
			u.check(t.Context(), ops{"/readyz/things": module, "/readyz": process}, log)
		}

		fail(2)
		expect("after two failures", true)
		u.record(false, false)
		fail(2)
		expect("after a success and two failures", true, true)
		fail(1)
		expect("after three failures", false)
		probe(200, 503)
		expect("a probe does not end it", false)
		time.Sleep(time.Minute - 1)
		expect("just before its end", false)
		time.Sleep(time.Nanosecond)
		expect("one request tries", true, false)
		time.Sleep(time.Minute)
		expect("no result: another one tries", true, false)
		u.record(false, false)
		expect("it was a success", true, true)

		fail(2)
		u.record(true, true)
		expect("no connection", false)
		probe(200, 503)
		expect("a restarted process", true)
		fail(2)
		expect("its earlier failures are forgotten", true)
		u.record(false, false)

		for _, c := range []struct {
			module, process int
			in              bool
			line            string
		}{
			{200, 503, true, ""},
			{503, 200, false, "level=WARN msg=\"the upstream is not ready\" probe=http://ops/readyz status=503\n"},
			{503, 200, false, ""},
			{200, 503, true, "level=INFO msg=\"the upstream is ready again\"\n"},
		} {
			lines.Reset()
			probe(c.module, c.process)
			expect(fmt.Sprint(c), c.in)
			if _, line, _ := strings.Cut(lines.String(), " "); line != c.line {
				t.Errorf("%v: the log has %q", c, line)
			}
		}
		u.check(t.Context(), ops{}, log)
		expect("no answer to the probe", false)
	})
}

// A module that cannot serve, or fails, takes out its own route and no other.
func TestEachRouteAsksForItself(t *testing.T) {
	t.Parallel()
	probed := newFake(t)
	file := split(99, 1, "url: OLD", "url: OLD, probe: "+probed.URL+"/readyz")
	f := start(t, file+strings.ReplaceAll(file[strings.Index(file, "  things:"):], "things", "goods"), ejectAtOnce)
	unavailable := func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				w.WriteHeader(503)
			}
		}
	}
	expect := func(when, side string, ready bool) {
		t.Helper()
		eventually(t, when, func() bool { return f.ask(t, "GET /v1/goods").String() == "200 "+side })
		f.expect(t, get, "200 old 1+0")
		if old := f.current.Load().match("/v1/goods").side("old").status(); old.Ready != ready {
			t.Errorf("%s: it is %+v", when, old)
		}
	}
	probed.answers(unavailable("/readyz/goods"))
	expect("it is not ready", "new", false)
	probed.answers(echo)
	expect("it is ready again", "old", true)
	f.old.answers(unavailable("/v1/goods"))
	expect("it fails", "new", true)
	// A process that restarts is back as soon as it is ready, and not after an ejection.
	f.old.Close()
	for range 3 {
		f.ask(t, get)
	}
	if old := f.side("old"); old.Ejected {
		t.Errorf("a restart has ejected it: %+v", old)
	}
}
