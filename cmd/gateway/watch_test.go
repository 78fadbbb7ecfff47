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
	eventually(t, "the page misses the file", func() bool { r := b.page(t).Refused; return r != nil && strings.Contains(*r, "no such file") })
	if page := b.page(t); !page.Since.Equal(since) || page.Routes["things"].Sides[0].Served != 5 {
		t.Errorf("the page is %+v", page)
	}
	b.replace(t, table2(older.URL, newer.URL, 100, ""))
	if page := b.page(t); page.Since.Equal(since) || page.Refused != nil || page.Routes["things"].Sides[0].Served != 5 {
		t.Errorf("after a good file the page is %+v", page)
	}
}

// Data may be moved once the route is paused and nothing is under way that was let in before.
func TestAPausedRouteTellsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	entered, release := make(chan bool), make(chan bool)
	older.answers(func(http.ResponseWriter, *http.Request) { entered <- true; <-release })
	file := table2(older.URL, older.URL, 0, "")
	b := start(t, file)
	answered := make(chan int, 1)
	go func() {
		answer, _ := b.try(http.MethodPost, "/v1/things", strings.NewReader("{}"))
		answered <- answer.status
	}()
	<-entered
	b.replace(t, strings.Replace(file, "weight: 100", "weight: 0", 1))
	if answer := b.get(t, "/v1/things"); answer.status != http.StatusServiceUnavailable || b.page(t).Routes["things"].UnderWay != 1 {
		t.Errorf("got %d, and %+v is under way", answer.status, b.page(t).Routes["things"])
	}
	release <- true
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the request that was let in got %d", status)
	}
	eventually(t, "nothing is under way", func() bool { return b.page(t).Routes["things"].UnderWay == 0 })
}

// What is known about an upstream outlives a change of its weight, but not of its address.
func TestHealthOutlivesAChange(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	newer.answersStatus(http.StatusBadGateway)
	b := start(t, table2(older.URL, newer.URL, 50, ""), func(c *config) { c.EjectAfter, c.EjectFor = 1, time.Hour })
	b.get(t, "/v1/things", sideHeader, "new")
	b.replace(t, table2(older.URL, newer.URL, 99, ""))
	if !b.page(t).Upstreams["new"].Ejected {
		t.Error("a change of weight has healed it")
	}
	other := newServer(t)
	b.replace(t, table2(older.URL, other.URL, 99, fmt.Sprintln("# elsewhere")))
	if b.page(t).Upstreams["new"].Ejected {
		t.Error("another process pays for the old one")
	}
}
