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
)

var errDown = errors.New("connection refused")

// answers sends a request to each path and returns the statuses in their order.
func answers(ctx context.Context, o *Operations, paths ...string) (statuses [4]int) {
	for i, path := range paths {
		recorder := httptest.NewRecorder()
		o.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		statuses[i] = recorder.Code
	}
	return statuses
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopping, signal := context.WithCancel(t.Context())
		var broker, orders, stock error
		o := NewOperations(stopping, "")
		o.Check("broker", func(context.Context) error { return broker })
		o.Module("orders", func(context.Context) error { return orders })
		o.Module("stock", func(context.Context) error { return stock })
		expect := func(when string, want ...int) {
			t.Helper()
			time.Sleep(verdictHolds)
			got := answers(t.Context(), o, "/livez", "/readyz", "/readyz/orders", "/readyz/stock")
			if got != [4]int(want) {
				t.Errorf("%s: livez, readyz, readyz/orders, readyz/stock are %d, want %d", when, got, want)
			}
			if all := answers(t.Context(), o, "/readyz/all")[0]; all != max(want[2], want[3]) {
				t.Errorf("%s: readyz/all is %d", when, all)
			}
		}
		expect("at first", 200, 200, 200, 200)
		stock = errDown
		expect("without one database", 200, 200, 200, 503)
		orders = errDown
		expect("without any", 200, 503, 503, 503)
		orders, stock, broker = nil, nil, errDown
		expect("before the broker is reached", 200, 503, 503, 503)
		broker = nil
		expect("when all is well", 200, 200, 200, 200)
		if got := answers(t.Context(), o, "/readyz/payments"); got[0] != http.StatusServiceUnavailable {
			t.Errorf("a module that it does not serve: %d", got[0])
		}
		signal()
		expect("once it is stopping", 200, 503, 503, 503)
	})
}

// A process without modules, as the façade is, is ready by its own checks.
func TestReadinessWithoutModules(t *testing.T) {
	t.Parallel()
	o := NewOperations(t.Context(), "")
	got := answers(t.Context(), o, "/readyz", "/readyz/orders")
	if got[0] != http.StatusOK || got[1] != http.StatusServiceUnavailable {
		t.Errorf("got %d", got)
	}
}

// A check may hang. Probes neither pile up behind it nor wait for it one by one, and those of
// another module are not delayed.
func TestACheckThatHangsFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		release := make(chan struct{})
		o := NewOperations(t.Context(), "")
		o.Module("orders", func(context.Context) error { return nil })
		o.Module("stock", func(context.Context) error { asked.Add(1); <-release; return nil })
		began := time.Now()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if got := answers(t.Context(), o, "/readyz/stock"); got[0] != http.StatusServiceUnavailable {
					t.Errorf("while it hangs: %d", got[0])
				}
			})
		}
		got := answers(t.Context(), o, "/readyz", "/readyz/orders")
		if got[0] != http.StatusOK || got[1] != http.StatusOK || time.Since(began) > 0 {
			t.Errorf("the other module's answers took %s: %d", time.Since(began), got)
		}
		all.Wait()
		answers(t.Context(), o, "/readyz/stock")
		if took := time.Since(began); took != patience || asked.Load() != 1 {
			t.Errorf("it was asked %d times, and a no took %s", asked.Load(), took)
		}
		close(release)
		synctest.Wait()
		if got := answers(t.Context(), o, "/readyz/stock"); got[0] != http.StatusOK {
			t.Errorf("once it has answered: %d", got[0])
		}
	})
}

func TestAThousandProbesASecondCostTwoChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		o := NewOperations(t.Context(), "")
		o.Module("orders", func(context.Context) error { asked++; return nil })
		for range 1000 {
			answers(t.Context(), o, "/readyz/orders", "/readyz")
			time.Sleep(time.Millisecond)
		}
		if want := int(time.Second / verdictHolds); asked != want {
			t.Errorf("it was asked %d times, want %d", asked, want)
		}
	})
}
