package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
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
				customer := fmt.Sprintf("customer-%d-%d", c, i) // a new one, who has nothing open
				token := s.token("customer", customer)
				if i > int64(count) {
					select {
					case <-enough:
						return
					default:
					}
				}
				url := urls[int(i)%len(urls)]
				o, err := place(t.Context(), url, token, int(i))
				if err != nil {
					s.finds(answered, "order %d: %v", i, err)
					return
				}
				o.customer = customer
				l.acknowledged(o)
				if i%25 == 0 {
					cancel(t.Context(), url, token, o.id)
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

// keep places orders for one client until stop is closed. It is slow, so that the backlog after a
// cut is small and its time depends on the shop more than on the machine.
func (l *load) keep(t *testing.T, s *shop, client int, stop <-chan struct{}) {
	t.Helper()
	for i := client; ; i++ {
		customer := fmt.Sprintf("customer-%d-%d", client, i)
		token := s.token("customer", customer)
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
		}
		o, err := place(t.Context(), s.URL, token, i)
		if err != nil {
			t.Errorf("order %d of client %d: %v", i, client, err)
			return
		}
		o.customer = customer
		l.acknowledged(o)
	}
}

// patience is how long a client retries.
const patience = 2 * time.Minute

func place(ctx context.Context, url, token string, i int) (placed, error) {
	return placeReporting(ctx, url, token, i, func(string) {})
}

// placeReporting is place with a callback for each retry.
func placeReporting(ctx context.Context, url, token string, i int, repeated func(why string)) (placed, error) {
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
	id, err := insist(ctx, url, token, uuid.NewString(), body, repeated)
	return placed{id: id, paymentToken: paymentToken}, err
}

// insist retries an order until it is acknowledged.
func insist(ctx context.Context, url, token, key string, body []byte, repeated func(why string)) (id string, err error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		a, err := send(ctx, http.MethodPost, url+"/v1/orders", token, key, body)
		switch {
		case err == nil && a.status == http.StatusCreated:
			var o struct{ ID string }
			if err := json.Unmarshal(a.body, &o); err != nil {
				return "", err
			}
			return o.ID, nil
		case err == nil && a.status < 500 && a.status != http.StatusConflict:
			return "", fmt.Errorf("status %d: %s", a.status, a.body)
		}
		repeated(fmt.Sprintf("%d %s %v", a.status, a.body, err))
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no answer within %s, the last was %d %s: %w", patience, a.status, a.body, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// cancel cancels an order once, in time or too late.
func cancel(ctx context.Context, url, token, id string) {
	_, _ = send(ctx, http.MethodPost, url+"/v1/orders/"+id+"/cancel", token, "", nil)
}

var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// answer is a response with its whole body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request, with a token and an Idempotency-Key unless they are empty.
func send(ctx context.Context, method, url, token, key string, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// get reads a page.
func get(t *testing.T, url, token string) answer {
	t.Helper()
	a, err := send(t.Context(), http.MethodGet, url, token, "", nil)
	if err != nil {
		t.Error(err)
	}
	return a
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal(get(t, url, "").body, into); err != nil {
		t.Fatal(err)
	}
}
