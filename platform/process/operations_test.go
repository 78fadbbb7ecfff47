package process

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errDown = errors.New("connection refused")

// answers sends a request to each path and returns the statuses in their order.
func answers(t *testing.T, o *Operations, paths ...string) (statuses []int) {
	for _, path := range paths {
		recorder := httptest.NewRecorder()
		o.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		statuses = append(statuses, recorder.Code)
	}
	return statuses
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopping, signal := context.WithCancel(t.Context())
		var broker, parcels, lamps error
		o := NewOperations(stopping, "")
		o.Check("broker", func(context.Context) error { return broker })
		// A process without modules, as the façade is, is ready by its own checks.
		if got := answers(t, o, "/readyz", "/readyz/parcels"); !cmp.Equal(got, []int{200, 501}) {
			t.Errorf("without modules: %d", got)
		}
		o.Module("parcels", func(context.Context) error { return parcels })
		o.Module("lamps", func(context.Context) error { return lamps })
		expect := func(when string, want ...int) {
			t.Helper()
			time.Sleep(verdictHolds)
			got := answers(t, o, "/livez", "/readyz", "/readyz/all", "/readyz/parcels", "/readyz/lamps", "/readyz/tolls")
			if diff := cmp.Diff(append(want, http.StatusNotImplemented), got); diff != "" { // it does not serve tolls
				t.Errorf("%s: %s", when, diff)
			}
		}
		expect("at first", 200, 200, 200, 200, 200)
		lamps = errDown
		expect("without one database", 200, 200, 503, 200, 503)
		parcels = errDown
		expect("without any", 200, 503, 503, 503, 503)
		parcels, lamps, broker = nil, nil, errDown
		expect("before the broker is reached", 200, 503, 503, 503, 503)
		broker = nil
		expect("when all is well", 200, 200, 200, 200, 200)
		signal()
		expect("once it is stopping", 200, 503, 503, 503, 503)
	})
}

// A check may hang. Probes neither pile up behind it nor wait for it one by one, and those of
// another module are not delayed.
func TestACheckThatHangsFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		release := make(chan struct{})
		o := NewOperations(t.Context(), "")
		o.Module("parcels", func(context.Context) error { return nil })
		o.Module("lamps", func(context.Context) error { asked.Add(1); <-release; return nil })
		began := time.Now()
		lamps := func(want int) {
			if got := answers(t, o, "/readyz/lamps"); got[0] != want {
				t.Errorf("after %s: %d, want %d", time.Since(began), got, want)
			}
		}
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { lamps(503) })
		}
		if got := answers(t, o, "/readyz", "/readyz/parcels"); !cmp.Equal(got, []int{200, 200}) || time.Since(began) > 0 {
			t.Errorf("the other module's answers took %s: %d", time.Since(began), got)
		}
		all.Wait()
		lamps(503)
		if took := time.Since(began); took != patience || asked.Load() != 1 {
			t.Errorf("it was asked %d times, and a no took %s", asked.Load(), took)
		}
		close(release)
		synctest.Wait()
		lamps(200)
	})
}

func TestAThousandProbesASecondCostTwoChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		o := NewOperations(t.Context(), "")
		o.Module("parcels", func(context.Context) error { asked++; return nil })
		for range 1000 {
			answers(t, o, "/readyz/parcels", "/readyz")
			time.Sleep(time.Millisecond)
		}
		if asked != 2 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

// A note does not make a process unready, and its pages show it.
func TestNotes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lamps := error(Note("restart this process"))
		o := NewOperations(t.Context(), "")
		o.Module("lamps", func(context.Context) error { return lamps })
		o.Module("parcels", func(context.Context) error { return nil })
		expect := func(page string, status int, text string) {
			t.Helper()
			recorder := httptest.NewRecorder()
			o.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, page, nil))
			if recorder.Code != status || recorder.Body.String() != text+"\n" {
				t.Errorf("%s: %d %s", page, recorder.Code, recorder.Body)
			}
		}
		expect("/readyz/lamps", 200, "ok, but lamps: restart this process")
		expect("/readyz/all", 200, "ok, but lamps: restart this process")
		expect("/readyz/parcels", 200, "ok")
		o.Check("broker", func(context.Context) error { return Note("it has little room") })
		expect("/readyz/parcels", 200, "ok, but broker: it has little room")
		lamps = errDown
		time.Sleep(verdictHolds)
		expect("/readyz", 200, "ok, but broker: it has little room")
		expect("/readyz/lamps", 503, "lamps is not ready")
	})
}
