package faults

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

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
		id, err := insist(t.Context(), s.URL, token, key, []byte(someTea), func(string) {})
		if err != nil {
			t.Error(err)
		}
		l.acknowledged(placed{id: id, customer: "ada", paymentToken: "tok_ok"})
	}

	release := s.holdConsumer(t, "inventory") // it quotes, but reserves nothing
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
	if status := s.get(t, "/v1/orders", token); status != http.StatusOK {
		t.Errorf("listing orders: status %d", status)
	}
	var waiting int
	if err := s.admin.QueryRow(t.Context(), "SELECT count(*) FROM orders.orders WHERE status = 'placed'").Scan(&waiting); err != nil || waiting != 20 {
		t.Errorf("%d orders wait for inventory, want 20 (%v)", waiting, err)
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
	var confirmed int
	if err := s.admin.QueryRow(t.Context(), "SELECT count(*) FROM orders.orders WHERE status = 'confirmed'").Scan(&confirmed); err != nil || confirmed != 21 {
		t.Errorf("%d orders are confirmed, want all 21 (%v)", confirmed, err)
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

// holdConsumer takes the lock of the module's consumers until release is called.
func (s *shop) holdConsumer(t *testing.T, module string) (release func()) {
	t.Helper()
	tx, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM "+module+".turn FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	t.Cleanup(release) // or closing the pool would wait for it
	return release
}

// isRefused places an order that cannot be priced, checks the problem, and returns its time.
func (s *shop) isRefused(t *testing.T, token, key string) time.Duration {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/orders",
		bytes.NewReader([]byte(someTea)))
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return 0
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	took := time.Since(began)
	if h := response.Header; err != nil || response.StatusCode != http.StatusServiceUnavailable ||
		h.Get("Content-Type") != "application/problem+json" || h.Get("Retry-After") == "" ||
		!strings.Contains(string(body), "inventory-unavailable") {
		t.Errorf("status %d, headers %v, body %s (%v)", response.StatusCode, h, body, err)
	}
	return took
}

// get reads the answer to its end and returns the status.
func (s *shop) get(t *testing.T, path, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}
