package routing

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

// fakeFacade is a façade that takes all routes, and records where the weights were when it got
// them.
type fakeFacade struct {
	*httptest.Server
	mu      sync.Mutex
	file    []byte
	puts    []string
	status  int // of a PUT; 204 if 0
	observe func() string
}

func (f *fakeFacade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodGet {
		file, _ := routes.Parse(f.file)
		page := routes.Page{Routes: map[string]routes.PageRoute{}}
		for name, route := range file.Routes {
			var sides []routes.PageSide
			for _, s := range route.Sides {
				sides = append(sides, routes.PageSide{Side: s, URL: file.Upstreams[s.Upstream].URL})
			}
			page.Routes[name] = routes.PageRoute{Prefix: route.Prefix, Sides: sides}
		}
		_ = json.NewEncoder(w).Encode(page)
		return
	}
	f.puts = append(f.puts, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" after "+f.observe())
	if f.status != 0 {
		w.WriteHeader(f.status)
		_, _ = w.Write([]byte(`{"detail":"it is closed"}`))
		return
	}
	f.file, _ = io.ReadAll(r.Body)
	w.WriteHeader(http.StatusNoContent)
}

// town is a system of two modules, parcels and tolls, whose routes are good.
type town struct {
	System
	t      *testing.T
	pools  map[string]*pgxpool.Pool
	facade *fakeFacade
	tolls  int // what the process tolls answers to its probe
}

func newTown(t *testing.T) *town {
	migrations := fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nCREATE TABLE things (id bigint);\n")}}
	db := pgtest.New(t, pgtest.Schema{Module: "parcels", Migrations: migrations}, pgtest.Schema{Module: "tolls", Migrations: migrations})
	to := &town{t: t, facade: &fakeFacade{}, pools: map[string]*pgxpool.Pool{}, tolls: http.StatusOK}
	to.facade.Server = httptest.NewServer(to.facade)
	t.Cleanup(to.facade.Close)
	probe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(to.tolls) }))
	t.Cleanup(probe.Close)
	to.System = System{
		File: filepath.Join(t.TempDir(), "routes.yaml"), Facades: []string{to.facade.URL}, Secret: "the secret",
		Schemas: map[string]string{"parcels": db.URL("parcels"), "tolls": db.URL("tolls"), "lamps": ""},
	}
	for _, m := range []string{"parcels", "tolls"} {
		opened := db.Module(t, m)
		to.pools[m] = opened.Pool()
		to.must(events.RecordBus(t.Context(), opened, natsbus.Name, nil))
	}
	to.facade.observe = func() string { return to.weights("tolls") + ", file " + to.inFile() }
	text := strings.Replace(good, "http://127.0.0.1:8093/readyz", probe.URL, 1)
	to.must(os.WriteFile(to.File, []byte(text), 0o600))
	return to
}

func (to *town) must(err error) {
	to.t.Helper()
	if err != nil {
		to.t.Fatal(err)
	}
}

// weights returns a module's weights in its schema.
func (to *town) weights(module string) string {
	at, err := to.Open(to.t.Context(), module)
	to.must(err)
	defer at.Close()
	return at.Weights()
}

// inFile returns the weights of the route tolls in the file.
func (to *town) inFile() string {
	file, err := routes.Load(to.File)
	to.must(err)
	return file.Routes["tolls"].Weights()
}

// expect compares the weights of tolls in its schema and in the file, and what the façade got since
// the last call. Those of parcels stay as they are in the file.
func (to *town) expect(when, tolls, file string, puts ...string) {
	to.t.Helper()
	if got := to.weights("parcels"); got != "monolith=100" {
		to.t.Errorf("%s: the schema of parcels has %q", when, got)
	}
	if got := to.weights("tolls"); got != tolls {
		to.t.Errorf("%s: the schema of tolls has %q, want %q", when, got, tolls)
	}
	if got := to.inFile(); got != file {
		to.t.Errorf("%s: the file has %q, want %q", when, got, file)
	}
	to.facade.mu.Lock()
	defer to.facade.mu.Unlock()
	if got := strings.Join(to.facade.puts, "\n"); got != strings.Join(puts, "\n") {
		to.t.Errorf("%s: the façade got\n%s\nwant\n%s", when, got, strings.Join(puts, "\n"))
	}
	to.facade.puts = nil
}

const (
	canary = "monolith=90 tolls=10"
	before = "monolith=100 tolls=0"
	put90  = "PUT /routes Bearer the secret after " + canary + ", file " + canary
	put100 = "PUT /routes Bearer the secret after " + before + ", file " + before
)

var ninety = Weights("tolls", map[string]int{"monolith": 90, "tolls": 10})

// The schemas have the weights first, then the file, then the façade; repeating it is harmless.
func TestAChangeIsEverywhereWhenItEnds(t *testing.T) {
	t.Parallel()
	to := newTown(t)
	to.must(to.Change(t.Context(), ninety))
	to.expect("a canary", canary, canary, put90)
	_, err := to.pools["tolls"].Exec(t.Context(), "UPDATE sides SET events = 7")
	to.must(err)
	to.must(to.Change(t.Context(), ninety))
	to.must(to.Change(t.Context(), AsItIs))
	to.expect("twice more", canary, canary, put90, put90)
	var counted int
	to.must(to.pools["tolls"].QueryRow(t.Context(), "SELECT min(events) FROM sides WHERE side > ''").Scan(&counted))
	if counted != 7 {
		t.Errorf("a change that changes nothing has left %d of 7 events counted", counted)
	}
	to.must(to.Change(t.Context(), Rollback))
	to.expect("a rollback", before, before, put100)
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	to := newTown(t)
	to.must(to.Change(t.Context(), AsItIs))
	to.facade.puts = nil
	system := to.System
	for want, prepare := range map[string]func(){
		"GATEWAY_SECRET is not set":                       func() { to.Secret = "" },
		"TOLLS_DATABASE_URL is not set":                   func() { to.Schemas = map[string]string{"parcels": system.Schemas["parcels"], "tolls": ""} },
		"TOLLS_DATABASE_URL: ":                            func() { to.Schemas = map[string]string{"tolls": "postgres://tolls_rt@127.0.0.1:1/none"} },
		"a canary needs nats: seam events bus nats first": func() { to.must(events.SwitchBus(t.Context(), to.pools["tolls"], events.Memory)) },
		"route tolls leads to nobody":                     func() { to.tolls = http.StatusNotImplemented },
	} {
		to.facade.file = nil
		prepare()
		if err := to.Change(t.Context(), ninety); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), "nothing is changed: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want a usage error with %q", err, want)
		}
		to.System, to.tolls = system, http.StatusOK
		to.must(events.SwitchBus(t.Context(), to.pools["tolls"], natsbus.Name))
		to.expect(want, before, before)
	}
}

// When a façade does not follow, the error says so, and apply does the rest.
func TestAFacadeThatDoesNotFollow(t *testing.T) {
	t.Parallel()
	to := newTown(t)
	to.Facades = append([]string{"http://127.0.0.1:1"}, to.Facades...)
	to.facade.status = http.StatusTeapot
	err := to.Change(t.Context(), ninety)
	for _, want := range []string{"the weights are in the schemas", to.File, "http://127.0.0.1:1: ", "it is closed", "seam route apply"} {
		if err == nil || errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want a line with %q", err, want)
		}
	}
	to.expect("a closed façade", canary, canary, put90)
	to.Facades, to.facade.status = to.Facades[1:], 0
	to.must(to.Change(t.Context(), AsItIs))
	to.expect("seam route apply", canary, canary, put90)
}

// A module that does not change holds up no change of another one.
func TestASchemaThatIsDown(t *testing.T) {
	t.Parallel()
	to := newTown(t)
	to.must(to.Change(t.Context(), AsItIs))
	to.facade.puts = nil
	whole := to.Schemas
	to.Schemas = map[string]string{"parcels": "postgres://parcels_rt@127.0.0.1:1/none", "tolls": whole["tolls"]}
	if err := to.Change(t.Context(), ninety); err == nil || !strings.Contains(err.Error(), "the routes have changed, but") ||
		!strings.Contains(err.Error(), "PARCELS_DATABASE_URL: ") {
		t.Errorf("got %v", err)
	}
	to.Schemas = whole
	to.expect("parcels is down", canary, canary, put90)
}
