package faults

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/lab/ask"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// quoteLimit is how long orders waits for a quote, with all retries (CLIENT_TIMEOUT), and more for
// a busy machine. A handler is cut off only after 15 seconds.
const quoteLimit = 5*time.Second + 5*time.Second

const someTea = `{"email":"ada@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":1}]}`

// Inventory is frozen, then killed, and stays down. New orders are refused quickly with 503,
// earlier ones wait, and both go on when it is back.
func TestInventoryIsAway(t *testing.T) {
	// A long deadline, because an order that expires would hide one that is stuck.
	s := startWith(t, topology.Options{Split: topology.Modules, Env: []string{"ORDERS_DEADLINE=2m", "NOTIFICATIONS_MAX_PER_HOUR=1000"}})
	l := &load{}
	stopSampling := s.sample(t)
	inventory, token := s.process(t, "inventory"), s.token("customer", "ada")
	insisting := func(key string) {
		id, err := insist(t.Context(), s.URL, token, key, someTea, unreported)
		if err != nil {
			t.Error(err)
		}
		l.acknowledged(placed{id: id, customer: "ada", paymentToken: "tok_ok"})
	}

	release := s.hold(t, "SELECT FROM inventory.turn FOR UPDATE") // it quotes, but reserves nothing
	for range 20 {
		insisting(uuid.NewString())
	}
	refusedKey := uuid.NewString()
	for _, end := range []struct {
		how    string
		signal syscall.Signal
	}{{"frozen", syscall.SIGSTOP}, {"killed", syscall.SIGKILL}} {
		if err := inventory.Signal(end.signal); err != nil {
			t.Fatal(err)
		}
		if end.signal == syscall.SIGKILL {
			<-inventory.Done()
		}
		var mu sync.Mutex
		var took []time.Duration
		for range 3 { // so many that the breaker opens, too
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					d := s.isRefused(t, token, uuid.NewString())
					mu.Lock()
					defer mu.Unlock()
					took = append(took, d)
				})
			}
			all.Wait()
		}
		took = append(took, s.isRefused(t, token, refusedKey))
		slices.Sort(took)
		t.Logf("%s: orders are refused after %s, at most %s", end.how, took[len(took)/2].Round(time.Millisecond),
			took[len(took)-1].Round(time.Millisecond))
		if took[len(took)-1] > quoteLimit {
			t.Errorf("%s: an answer took %s, want %s at most", end.how, took[len(took)-1], quoteLimit)
		}
	}
	// What needs no quote goes on.
	if a := get(t, s.URL+"/v1/orders", token); a.Status != http.StatusOK {
		t.Errorf("listing orders: status %d", a.Status)
	}
	if n := pgtest.Count(t, s.admin, "SELECT count(*) FROM orders.orders WHERE status = 'placed'"); n != 20 {
		t.Errorf("%d orders wait for inventory, want 20", n)
	}

	release()
	began := time.Now()
	if err := s.Restart(context.WithoutCancel(t.Context()), inventory); err != nil {
		t.Fatal(err)
	}
	insisting(refusedKey) // a refusal does not use up its key
	t.Logf("an order was accepted again %s after inventory's return began", time.Since(began).Round(time.Millisecond))
	report(t, s.settle(t, l))
	report(t, stopSampling())
	if n := pgtest.Count(t, s.admin, "SELECT count(*) FROM orders.orders WHERE status = 'confirmed'"); n != 21 {
		t.Errorf("%d orders are confirmed, want all 21", n)
	}
	s.summarize(t)
}

// process returns the process of a command.
func (s *shop) process(t *testing.T, name string) *topology.Process {
	t.Helper()
	i := slices.IndexFunc(s.Processes(), func(p *topology.Process) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("there is no process %s", name)
	}
	return s.Processes()[i]
}

// hold keeps the locks that a statement takes until release is called.
func (s *shop) hold(t *testing.T, statement string) (release func()) {
	t.Helper()
	tx, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	t.Cleanup(release) // or closing the pool would wait for it
	return release
}

// isRefused places an order that cannot be priced, checks the problem, and returns its time.
func (s *shop) isRefused(t *testing.T, token, key string) time.Duration {
	t.Helper()
	began := time.Now()
	a, err := ask.Request{Method: http.MethodPost, URL: s.URL + "/v1/orders", Token: token, Key: key, Body: someTea}.Send(t.Context(), client)
	took := time.Since(began)
	if err != nil || a.Status != http.StatusServiceUnavailable || a.Header.Get("Content-Type") != "application/problem+json" ||
		a.Header.Get("Retry-After") == "" || !strings.Contains(string(a.Body), "inventory-unavailable") {
		t.Errorf("status %d, headers %v, body %s (%v)", a.Status, a.Header, a.Body, err)
	}
	return took
}
