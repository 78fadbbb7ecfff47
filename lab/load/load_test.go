package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/shop/lab/load"
)

// shop is a fake shop that waits before it answers.
type shop struct {
	*httptest.Server
	mu   sync.Mutex
	keys map[string]string // the token by key
	most int               // requests at the same time
	now  int
}

type line struct{ SKU string }

// different reports whether no two lines are of the same product.
func different(lines []line) bool {
	return len(lines) == 1 || len(lines) == 2 && lines[0] != lines[1]
}

func newShop(t *testing.T, wait func(n int)) *shop {
	t.Helper()
	s := &shop{keys: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Email string
			Lines []line
		}
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil || !different(order.Lines) || !strings.Contains(order.Email, "@") {
			t.Errorf("an order like %v: %v", order, err)
		}
		s.mu.Lock()
		s.keys[r.Header.Get("Idempotency-Key")] = r.Header.Get("Authorization")
		n := len(s.keys)
		s.now++
		s.most = max(s.most, s.now)
		s.mu.Unlock()
		wait(n)
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
		switch {
		case n%20 == 0: // a proxy, say
			w.WriteHeader(http.StatusBadGateway)
			return
		case n%10 == 0:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"title":"Service Unavailable","detail":"Come back."}`)
			return
		}
		w.Header().Set("Location", fmt.Sprintf("/v1/orders/order-%d", n))
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestClientsWaitForTheirAnswers(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(int) { time.Sleep(time.Millisecond) })
	plan := load.Plan{URL: s.URL, Tokens: []string{"a", "b"}, SKUs: []string{"tea", "cup"}, Clients: 3,
		For: 200 * time.Millisecond}
	var placed, refused int
	err := plan.Run(t.Context(), func(o load.Order) {
		switch {
		case o.Err == nil && strings.HasPrefix(o.ID, "order-") && o.Took >= time.Millisecond:
			placed++
		case o.Err != nil && (o.Err.Error() == "503 Service Unavailable: Come back." || o.Err.Error() == "502 Bad Gateway"):
			refused++
		default:
			t.Errorf("order %+v", o)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if placed+refused != len(s.keys) || refused != len(s.keys)/10 || s.most > 3 {
		t.Errorf("%d placed and %d refused of %d, %d at once", placed, refused, len(s.keys), s.most)
	}
	who := map[string]bool{}
	for _, token := range s.keys {
		who[token] = true
	}
	if !who["Bearer a"] || !who["Bearer b"] {
		t.Errorf("ordered as %v", who)
	}
}

// A slow answer delays no other order, and a late order counts from when it was due.
func TestAtARateEveryOrderCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newShop(t, func(n int) {
		if n == 1 {
			<-release
		}
	})
	plan := load.Plan{URL: s.URL, Tokens: []string{"a"}, SKUs: []string{"tea"}, Rate: 200, For: 300 * time.Millisecond}
	// The run stalls for a while, as on a busy machine.
	stalled := false
	plan.Admit = func() bool {
		if !stalled {
			time.Sleep(100 * time.Millisecond)
			stalled = true
		}
		return true
	}
	time.AfterFunc(600*time.Millisecond, func() { close(release) })
	var late, slow int
	var due []time.Time
	if err := plan.Run(t.Context(), func(o load.Order) {
		due = append(due, o.Due)
		if o.Took > 50*time.Millisecond {
			late++
		}
		if o.Took > 300*time.Millisecond {
			slow++
		}
	}); err != nil {
		t.Fatal(err)
	}
	// Those of the first 50 ms were sent more than 50 ms late.
	if len(due) != 60 || late < 10 || slow < 1 {
		t.Errorf("%d orders, %d late and %d slow; want 60, 10 or more, and the one that was held", len(due), late, slow)
	}
}

func TestRunEndsEarly(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(int) {})
	ctx, stop := context.WithCancel(t.Context())
	orders := 0
	plan := load.Plan{URL: s.URL, Tokens: []string{"a"}, SKUs: []string{"tea"}, Clients: 2, For: time.Hour}
	if err := plan.Run(ctx, func(load.Order) {
		if orders++; orders == 20 {
			stop()
		}
	}); err != nil || orders < 20 {
		t.Errorf("%d orders, %v", orders, err)
	}
	plan.Admit = func() bool { orders++; return orders < 60 }
	if err := plan.Run(t.Context(), func(load.Order) {}); err != nil {
		t.Error(err)
	}
	plan.Tokens = nil
	if err := plan.Run(t.Context(), func(load.Order) {}); err == nil {
		t.Error("it ran without a customer")
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	times := load.Times{4, 1, 3, 2}
	for percent, want := range map[float64]time.Duration{0: 1, 50: 2, 75: 3, 99: 4, 100: 4} {
		if got := times.At(percent); got != want {
			t.Errorf("%v %%: %d, want %d", percent, got, want)
		}
	}
	if (load.Times{}).At(50) != 0 {
		t.Error("there is none")
	}
}
