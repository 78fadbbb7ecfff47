package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestWhatIsSentTwice(t *testing.T) {
	t.Parallel()
	unavailable := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	key := []string{"Idempotency-Key", "k"}
	small, large := strings.Repeat("x", maxReplay), strings.Repeat("x", maxReplay+1)
	for _, c := range []struct {
		name    string
		method  string
		headers []string
		body    string
		failure http.HandlerFunc // nil: no connection
		want    int              // how often the good side is reached
	}{
		{"a read, no connection", "GET", nil, "", nil, 1},
		{"a read, cut off", "GET", nil, "", cut, 1},
		{"a read, unavailable", "HEAD", nil, "", unavailable, 1},
		{"a write, no connection", "POST", nil, "{}", nil, 1},
		{"a large write, no connection", "POST", nil, large, nil, 1},
		{"a write, cut off", "POST", nil, "{}", cut, 0},
		{"a write, unavailable", "POST", nil, "{}", unavailable, 0},
		{"a write without a body, cut off", "DELETE", nil, "", cut, 0},
		{"a write with a key, cut off", "POST", key, small, cut, 1},
		{"a write with a key and no body, cut off", "POST", key, "", cut, 1},
		{"a write with a key, unavailable", "POST", key, small, unavailable, 1},
		{"a large write with a key, cut off", "POST", key, large, cut, 0},
		// The upstream does not get this key, so there is no retry.
		{"a key that is hop-by-hop, cut off", "POST", append(key, "Connection", "Idempotency-Key"), "{}", cut, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad, good := newServer(t), newServer(t)
			arrived := make(chan string, 2)
			good.answers(func(_ http.ResponseWriter, r *http.Request) {
				data, _ := io.ReadAll(r.Body)
				arrived <- string(data)
			})
			badURL := bad.URL
			if c.failure == nil {
				badURL = deadURL(t)
			} else {
				bad.answers(c.failure)
			}
			// The bad side has 99 percent, and this client is among them.
			b := start(t, table2(badURL, good.URL, 1, ""))
			answer := b.send(t, c.method, "/v1/things", c.body, append(c.headers, "Cookie", canaryCookie+"=ada")...)
			if got := int(good.hits.Load()); got != c.want {
				t.Fatalf("the other side was reached %d times, want %d", got, c.want)
			}
			if c.failure != nil && bad.hits.Load() != 1 {
				t.Errorf("the failing side was reached %d times", bad.hits.Load())
			}
			var received string
			if c.want == 1 {
				received = <-arrived
			}
			switch {
			case c.want == 1 && (answer.status != http.StatusOK || answer.side() != "new" || received != c.body):
				t.Errorf("%d by %q, and %d bytes of %d came through", answer.status, answer.side(), len(received),
					len(c.body))
			case c.want == 0 && answer.status != http.StatusBadGateway && answer.status != http.StatusServiceUnavailable:
				t.Errorf("got %d", answer.status)
			}
		})
	}
}

func TestWithoutAnotherSideTheRetryGoesToTheSame(t *testing.T) {
	t.Parallel()
	only := newServer(t)
	var once sync.Once
	only.answers(func(w http.ResponseWriter, r *http.Request) { once.Do(func() { cut(w, r) }) })
	b := start(t, table2(only.URL, only.URL, 0, ""))
	if answer := b.get(t, "/v1/things"); answer.status != http.StatusOK || only.hits.Load() != 2 {
		t.Errorf("%d after %d attempts", answer.status, only.hits.Load())
	}
	only.answersStatus(http.StatusServiceUnavailable) // a retry would only add to its load
	if answer := b.get(t, "/v1/things"); answer.status != http.StatusServiceUnavailable || only.hits.Load() != 3 {
		t.Errorf("%d after %d attempts", answer.status, only.hits.Load())
	}
}

// Upstreams cut connections at random, also idle ones, where net/http's transport may retry.
func TestAWriteWithoutAKeyIsNeverExecutedTwice(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	executed := map[string]int{}
	answer := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.RawQuery, "-2") != (r.Header.Get("X-Idempotency-Key") == "k") {
			t.Errorf("%s came with %v", r.URL.RawQuery, r.Header)
		}
		mu.Lock()
		executed[r.URL.RawQuery]++
		mu.Unlock()
		if rand.IntN(4) == 0 {
			cut(w, r)
		}
	}
	older, newer := newServer(t), newServer(t)
	older.answers(answer)
	newer.answers(answer)
	b := start(t, table2(older.URL, newer.URL, 50, ""))
	var group sync.WaitGroup
	for c := range 8 {
		group.Go(func() {
			for i := range 250 {
				var body io.Reader
				var headers []string
				switch i % 4 {
				case 0:
					body = strings.NewReader("{}")
				case 1: // an empty key
					headers = []string{"Idempotency-Key", ""}
				case 2: // a key to the transport alone
					headers = []string{"X-Idempotency-Key", "k"}
				}
				answer, err := b.try(http.MethodPost, fmt.Sprintf("/v1/things?%d-%d-%d", c, i, i%4), body, headers...)
				if err != nil || answer.status != http.StatusOK && answer.status != http.StatusBadGateway {
					t.Errorf("%d %v", answer.status, err)
				}
			}
		})
	}
	group.Wait()
	mu.Lock()
	defer mu.Unlock()
	for id, times := range executed {
		if times > 1 {
			t.Errorf("%s was executed %d times", id, times)
		}
	}
	if len(executed) != 2000 {
		t.Errorf("%d requests of 2000 came through", len(executed))
	}
}
