package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAChangeUnderLoadFailsNoRequest(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	b := start(t, table2(older.URL, newer.URL, 0, ""))
	var sent, failed atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sent.Add(1)
				answer, err := b.try(http.MethodPost, "/v1/things", strings.NewReader("{}"))
				if err != nil || answer.status != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}
	for i := range 50 {
		before := sent.Load()
		b.replace(t, table2(older.URL, newer.URL, i*2, ""))
		eventually(t, "requests go on", func() bool { return sent.Load() > before+20 })
	}
	close(stop)
	group.Wait()
	t.Logf("%d requests during 50 changes", sent.Load())
	if failed.Load() > 0 || newer.hits.Load() == 0 || older.hits.Load()+newer.hits.Load() != sent.Load() {
		t.Errorf("%d of %d failed; %d old, %d new", failed.Load(), sent.Load(), older.hits.Load(), newer.hits.Load())
	}
}

func TestABadFileChangesNothing(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	file := table2(older.URL, newer.URL, 0, "")
	b := start(t, file)
	b.get(t, "/v1/things")
	since := b.page(t).Since
	if url := b.health(t, "new").URL; url != newer.URL {
		t.Errorf("the page says that the new side is at %q", url)
	}
	for _, bad := range []string{"", "routes: [", strings.Replace(file, "weight: 100", "weight: 50", 1), file[:len(file)/2]} {
		write(t, b.cfg.Routes, bad)
		eventually(t, "the page says why", func() bool { return b.page(t).Refused != nil })
		if answer := b.get(t, "/v1/things"); answer.side() != "old" {
			t.Errorf("%d by %s", answer.status, answer.side())
		}
		write(t, b.cfg.Routes, file)
		eventually(t, "the page has nothing to say", func() bool { return b.page(t).Refused == nil })
	}
	if err := os.Remove(b.cfg.Routes); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the page misses the file", func() bool {
		r := b.page(t).Refused
		return r != nil && strings.Contains(*r, "no such file")
	})
	if page := b.page(t); !page.Since.Equal(since) || page.Routes["things"].Sides[0].Served != 5 {
		t.Errorf("the page is %+v", page)
	}
	b.replace(t, table2(older.URL, newer.URL, 100, ""))
	if page := b.page(t); page.Since.Equal(since) || page.Refused != nil || page.Routes["things"].Sides[0].Served != 5 {
		t.Errorf("after a good file the page is %+v", page)
	}
}

// Data may be moved once the route is paused and no request is under way.
func TestARouteMovesWhenNothingIsUnderWay(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	entered, release := make(chan bool), make(chan bool)
	older.answers(func(http.ResponseWriter, *http.Request) { entered <- true; <-release })
	table := func(oldWeight, newWeight int, name string) string {
		return fmt.Sprintf(`
upstreams: { old: { url: %q }, new: { url: %q } }
routes: { %s: { prefix: /v1/things, sides: [{ upstream: old, weight: %d, home: shop }, { upstream: new, weight: %d, home: things }] } }
`, older.URL, newer.URL, name, oldWeight, newWeight)
	}
	b := start(t, table(100, 0, "things"))
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	answered := make(chan int, 1)
	go func() {
		answer, _ := b.try(http.MethodPost, "/v1/things", strings.NewReader("{}"))
		answered <- answer.status
	}()
	<-entered
	refuses := func(file string) {
		t.Helper()
		write(t, b.cfg.Routes, file)
		eventually(t, "the move is refused", func() bool {
			r := b.page(t).Refused
			return r != nil && strings.Contains(*r, "pause it first")
		})
	}
	refuses(table(0, 100, "things"))
	refuses(table(0, 100, "renamed"))
	b.replace(t, table(0, 0, "renamed"))
	if answer := b.get(t, "/v1/things"); answer.status != http.StatusServiceUnavailable || b.page(t).Routes["renamed"].UnderWay != 1 {
		t.Errorf("got %d, and %+v is under way", answer.status, b.page(t).Routes["renamed"])
	}
	refuses(table(0, 100, "renamed")) // the request under way may still write to the old home
	let()
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the request under way got %d", status)
	}
	// The file is applied without another change.
	eventually(t, "the route has moved", func() bool { return b.get(t, "/v1/things").side() == "new" })
	if page := b.page(t).Routes["renamed"]; page.UnderWay != 0 || older.hits.Load() != 1 {
		t.Errorf("%+v, and the old side was reached %d times", page, older.hits.Load())
	}
}

// A request that has read the old table is counted before under_way can be seen as 0.
func TestEveryAdmittedRequestIsCounted(t *testing.T) {
	t.Parallel()
	// So many routes that the table can change between a request's match and its count.
	open, paused := &table{routes: make([]*route, 1_000_000)}, &table{}
	for i := range open.routes {
		open.routes[i] = &route{prefix: "/other"}
	}
	counter := new(atomic.Int64)
	open.routes[len(open.routes)-1] = &route{prefix: "/things", home: "shop", underWay: counter}
	paused.routes = []*route{{prefix: "/things", underWay: counter}}
	for range 20 {
		g := &gateway{}
		g.current.Store(open)
		let := make(chan *route)
		go func() {
			let <- nil
			r, _ := g.enter("/things")
			let <- r
		}()
		<-let
		time.Sleep(time.Millisecond)
		g.current.Store(paused)
		if underWay := counter.Load(); underWay == 0 && (<-let).home != "" {
			t.Error("it was admitted, and nothing was under way")
		} else if underWay > 0 {
			<-let
			counter.Store(0)
		}
	}
}

// A half-written file can be valid: this one only lacks its second route.
func TestAFileThatIsBeingWrittenIsNotApplied(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	half := table2(older.URL, older.URL, 0, "")
	whole := half + strings.ReplaceAll(half[strings.Index(half, "  things:"):], "things", "more")
	b := start(t, whole, func(c *config) { c.Interval = time.Hour })
	seen := b.reload(t.Context(), []byte(whole))
	for _, text := range []string{half, whole, half + "# changed", half} {
		write(t, b.cfg.Routes, text)
		seen = b.reload(t.Context(), seen)
		if len(b.current.Load().routes) != 2 {
			t.Fatalf("it was applied after one reading: %s", text)
		}
	}
	b.reload(t.Context(), seen)
	if len(b.current.Load().routes) != 1 {
		t.Error("it is not applied when it stays the same")
	}
}

// An upstream's health survives a change of its weight, but not of its address.
func TestHealthSurvivesAChange(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	newer.answersStatus(http.StatusBadGateway)
	b := start(t, table2(older.URL, newer.URL, 50, ""), func(c *config) { c.EjectAfter, c.EjectFor = 1, time.Hour })
	b.get(t, "/v1/things", sideHeader, "new")
	b.replace(t, table2(older.URL, newer.URL, 99, ""))
	if !b.health(t, "new").Ejected {
		t.Error("a change of weight has reset its health")
	}
	other := newServer(t)
	b.replace(t, table2(older.URL, other.URL, 99, fmt.Sprintln("# elsewhere")))
	if b.health(t, "new").Ejected {
		t.Error("a new process has the health of the old one")
	}
}
