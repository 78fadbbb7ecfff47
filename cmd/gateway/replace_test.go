package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/cmd/gateway/routes"
)

func TestAChangeUnderLoadFailsNoRequest(t *testing.T) {
	t.Parallel()
	f := start(t, split(100, 0))
	var sent atomic.Int64
	var over atomic.Bool
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for !over.Load() {
				sent.Add(1)
				if answer := f.ask(t, post+"\n\n{}"); answer.body != "{}" {
					t.Errorf("got %s", answer)
				}
			}
		})
	}
	for i := range 50 {
		before := sent.Load()
		f.apply(t, split(100-i*2, i*2))
		eventually(t, "requests go on", func() bool { return sent.Load() > before+20 })
	}
	over.Store(true)
	group.Wait()
	if hits := f.old.hits.Load() + f.new.hits.Load(); f.new.hits.Load() == 0 || hits != sent.Load() {
		t.Errorf("%d requests of %d reached an upstream, %d the new one", hits, sent.Load(), f.new.hits.Load())
	}
}

// page returns the body of GET /routes.
func (f *facade) page() string {
	recorder := httptest.NewRecorder()
	f.status(recorder, nil)
	return recorder.Body.String()
}

func TestBadRoutesChangeNothing(t *testing.T) {
	t.Parallel()
	file := split(100, 0)
	f := start(t, file)
	current := f.current.Load()
	for bad, why := range map[string]string{
		"# nothing": "no routes", "routes: [": "yaml", split(50, 0): "add up to 50", file[:len(file)/2]: "",
	} {
		f.refuses(t, bad, why)
		f.expect(t, get, "200 old 1+0")
	}
	for want, answer := range map[string]reply{
		"401 not-the-secret": f.put(split(0, 100), "the secre"), "413 body-too-large": f.put(file+strings.Repeat("#", routes.MaxBody), "the secret"),
		"403 no-secret": (&facade{gateway: &gateway{}, old: f.old, new: f.new}).put(file, ""),
	} {
		if answer.String() != want {
			t.Errorf("%s, want %s", answer, want)
		}
	}
	f.apply(t, file) // again
	if f.current.Load() != current {
		t.Error("the table is another one")
	}
}

// GET /routes says what is applied, how its sides are, and what was counted.
func TestThePageOfRoutes(t *testing.T) {
	t.Parallel()
	f := start(t, split(1, 99))
	f.apply(t, shadowed)
	f.old.answers(status(204))
	f.new.answers(status(503))
	f.ask(t, get)
	f.ask(t, get+"\n"+sideHeader+": new")
	eventually(t, "they are compared", func() bool { return len(f.slots) == 0 })
	shown := regexp.MustCompile(`"(since|at)":"[^"]+"`).ReplaceAllString(f.page(), `"$1":""`)
	want := fmt.Sprintf(`{"since":"",`+
		`"routes":{"things":{"prefix":"/v1/things","resend":true,"max_body":1048576,"under_way":0,"sides":[`+
		`{"upstream":"old","weight":100,"url":%q,"served":1,"ready":true,"ejected":false,"failures_in_a_row":0},`+
		`{"upstream":"new","weight":0,"url":%q,"served":1,"ready":true,"ejected":false,"failures_in_a_row":1}],`+
		`"shadow":{"compared":1,"mismatched":1,"failed":0,"dropped":0,"mismatches":[{"at":"","status":204,"shadow_status":503}]}}}}`,
		f.old.URL, f.new.URL)
	if diff := cmp.Diff(want, strings.TrimSpace(shown)); diff != "" {
		t.Error(diff)
	}
	var lines bytes.Buffer
	g := &gateway{log: slog.New(slog.NewTextHandler(&lines, nil))}
	g.current.Store(&table{})
	must(t, g.apply(t.Context(), f.fill(shadowed)))
	if says := `msg="the routes have changed" weights="things: old=100 new=0"`; !strings.Contains(lines.String(), says) {
		t.Errorf("the log has %s", &lines)
	}
}

// A route must not lead to a process that answers that it does not serve the route's module. One
// that does not answer may serve it.
func TestARouteToNobodyIsRefused(t *testing.T) {
	t.Parallel()
	probed := newFake(t)
	probe := "url: NEW, probe: " + probed.URL + "/readyz"
	f := start(t, split(100, 0, "url: NEW", probe))
	probed.answers(status(http.StatusNotImplemented))
	f.apply(t, split(100, 0, "url: NEW", probe)+"# it has no weight")
	f.refuses(t, split(99, 1, "url: NEW", probe), "route things leads to nobody: new answers that it does not serve")
	probed.answers(status(http.StatusServiceUnavailable))
	f.apply(t, split(99, 1, "url: NEW", probe))
	// A process that has lost the module keeps no other change from being applied.
	probed.answers(status(http.StatusNotImplemented))
	f.apply(t, split(98, 2, "url: NEW", probe))

	for file, want := range map[string]string{
		split(0, 100, "url: NEW", probe): "route things leads to nobody", split(1, 99, "url: NEW", probe): "", // old may serve
		split(0, 100, "url: NEW", "url: NEW, probe: "+dead): "",
	} {
		cfg := f.cfg
		cfg.Routes = filepath.Join(t.TempDir(), "routes.yaml")
		must(t, os.WriteFile(cfg.Routes, f.fill(file), 0o600))
		if _, err := newGateway(t.Context(), cfg, f.log); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with\n%s\nit starts: %v, want %q", file, err, want)
		}
	}
}

// A side's counter survives every change, its health one of the weight and none of the address.
func TestASideSurvivesAChange(t *testing.T) {
	t.Parallel()
	first := tableAfter(t, &table{}, split(50, 50))
	for file, healthy := range map[string]bool{split(99, 1): false, split(50, 50, "NEW", dead): true} {
		next := tableAfter(t, first, file)
		before, after := first.routes[0].sides[1], next.routes[0].sides[1]
		if after.served != before.served || (after.upstream != before.upstream) != healthy {
			t.Errorf("%s: %+v has become %+v", file, before, after)
		}
	}
}
