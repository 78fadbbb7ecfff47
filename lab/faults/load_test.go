package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/lab/ask"
)

// placed is an order that was acknowledged to a client.
type placed struct {
	id, customer, paymentToken string
}

// load places orders from several clients at once. A client retries a request with the same
// Idempotency-Key until it has an answer.
type load struct {
	mu     sync.Mutex
	orders []placed
	done   atomic.Int64
}

// mix has the clients' payment tokens: mostly good ones.
var mix = []string{
	"tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_ok",
	"tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_declined", "tok_flaky", "tok_timeout", "tok_slow", "tok_ok",
}

var skus = []string{
	"tea-assam", "tea-darjeeling", "tea-genmaicha", "tea-jasmine", "tea-gyokuro", "coffee-yirga", "coffee-huila",
	"cup-celadon", "mug-speckled", "kettle-gooseneck", "strainer-steel", "honey-linden",
}

// answered is the rule for a client that retries.
const answered = "a client gets its answer in the end"

// run places count orders, and more until enough is closed. It cancels some of them at once.
func (l *load) run(t *testing.T, s *shop, count int, enough <-chan struct{}, urls ...string) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for c := range s.clients {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(count) {
					select {
					case <-enough:
						return
					default:
					}
				}
				url := urls[int(i)%len(urls)]
				// Each of a new customer, who has nothing open.
				o, err := s.place(t.Context(), url, fmt.Sprintf("customer-%d-%d", c, i), int(i), unreported)
				if err != nil {
					s.finds(answered, "order %d: %v", i, err)
					return
				}
				l.acknowledged(o)
				if i%25 == 0 {
					s.cancel(t.Context(), url, o.customer, o.id)
				}
				time.Sleep(s.pause)
			}
		})
	}
	all.Wait()
}

func (l *load) acknowledged(o placed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders = append(l.orders, o)
	l.done.Add(1)
}

// keep places orders for one client, with a pause before each, until stop is closed.
func (l *load) keep(t *testing.T, s *shop, client int, pause time.Duration, stop <-chan struct{}, repeated func(why string)) {
	t.Helper()
	for i := client; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		o, err := s.place(t.Context(), s.URL, fmt.Sprintf("customer-%d-%d", client, i), i, repeated)
		if err != nil {
			t.Errorf("order %d of client %d: %v", i, client, err)
			return
		}
		l.acknowledged(o)
	}
}

// patience is how long a client retries.
const patience = 2 * time.Minute

// unreported is for a client that may have to retry.
func unreported(string) {}

// place places the ith order, with retries, each of which is reported to repeated.
func (s *shop) place(ctx context.Context, url, customer string, i int, repeated func(why string)) (placed, error) {
	type line struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	r := rand.New(rand.NewPCG(0, uint64(i))) // the ith order is the same in every run
	first, second := r.IntN(len(skus)), r.IntN(len(skus))
	paymentToken := mix[i%len(mix)]
	body, err := json.Marshal(map[string]any{
		"email": fmt.Sprintf("customer-%d@mail.example", i), "payment_token": paymentToken,
		"lines": []line{{skus[first], 1 + i%3}, {skus[second], 1}},
	})
	if err != nil {
		return placed{}, err
	}
	id, err := insist(ctx, url, s.token("customer", customer), uuid.NewString(), string(body), repeated)
	return placed{id, customer, paymentToken}, err
}

// insist retries an order until it is acknowledged.
func insist(ctx context.Context, url, token, key, body string, repeated func(why string)) (id string, err error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	order := ask.Request{Method: http.MethodPost, URL: url + "/v1/orders", Token: token, Key: key, Body: body}
	for {
		a, err := order.Send(ctx, client)
		switch {
		case err == nil && a.Status == http.StatusCreated:
			var o struct{ ID string }
			err := json.Unmarshal(a.Body, &o)
			return o.ID, err
		case err == nil && a.Status < 500 && a.Status != http.StatusConflict:
			return "", fmt.Errorf("status %d: %s", a.Status, a.Body)
		}
		repeated(fmt.Sprintf("%d %s %v", a.Status, a.Body, err))
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no answer within %s, the last was %d %s: %w", patience, a.Status, a.Body, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// cancel cancels an order once, in time or too late.
func (s *shop) cancel(ctx context.Context, url, customer, id string) {
	cancel := ask.Request{Method: http.MethodPost, URL: url + "/v1/orders/" + id + "/cancel", Token: s.token("customer", customer)}
	_, _ = cancel.Send(ctx, client)
}

var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// get reads a page.
func get(t *testing.T, url, token string) ask.Answer {
	t.Helper()
	a, err := ask.Request{URL: url, Token: token}.Send(t.Context(), client)
	if err != nil {
		t.Error(err)
	}
	return a
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal(get(t, url, "").Body, into); err != nil {
		t.Fatal(err)
	}
}
