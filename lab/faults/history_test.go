package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"example.com/shop/lab/ask"
)

// history records what four slow clients beside the load did, and the answers that they got. Two
// place orders and access each with three goroutines at once, two buy from shelves of their own.
type history struct {
	*shop
	load    *load
	urls    []string
	shelves []string
	began   time.Time
	resting chan struct{}
	clients sync.WaitGroup
	sent    atomic.Int64 // requests

	mu         sync.Mutex
	orders     map[string][]porcupine.Operation // by id
	stock      map[string][]porcupine.Operation // by sku
	bought     []purchase
	unanswered int
}

// purchase is an order from a shelf, from the POST until its client saw how it ended.
type purchase struct {
	sku, id, token, state string
	quantity, call, seen  int64
}

// recordHistory starts the clients. All rules apply to their orders, too, which are the load's.
func (s *shop) recordHistory(t *testing.T, l *load, urls []string) *history {
	t.Helper()
	h := &history{shop: s, load: l, urls: urls, began: time.Now(), resting: make(chan struct{}),
		orders: map[string][]porcupine.Operation{}, stock: map[string][]porcupine.Operation{}}
	for range 3 { // few, so that they are often empty
		sku := "shelf-" + uuid.NewString()
		h.shelves = append(h.shelves, sku)
		s.exec(t, `WITH p AS (INSERT INTO inventory.products (sku, name, price, currency) VALUES ($1, 'Shelf', 100, 'EUR') RETURNING sku)
			INSERT INTO inventory.stock (sku, initial, on_hand) SELECT sku, $2, $2 FROM p`, sku, stocked)
	}
	for i := range 2 {
		watcher, buyer := fmt.Sprintf("watcher-%d", i), fmt.Sprintf("buyer-%d", i)
		h.clients.Go(func() { h.watch(t, chance(s.seed, watcher), watcher) })
		h.clients.Go(func() { h.buy(t, chance(s.seed, buyer), buyer) })
	}
	t.Cleanup(h.clients.Wait) // also when the test was given up
	return h
}

// rest waits until the clients have finished.
func (h *history) rest() {
	close(h.resting)
	h.clients.Wait()
}

// least is how many rounds each client makes at least.
const least = 25

// goesOn pauses between rounds. It returns false once the client may rest, or the test is over.
func (h *history) goesOn(t *testing.T, r *rand.Rand, round int) bool {
	time.Sleep(20 * time.Millisecond)
	rest(r, 60*time.Millisecond)
	select {
	case <-t.Context().Done():
		return false
	case <-h.resting:
		return round < least
	default:
		return true
	}
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

// final reports whether the state is final.
func final(state string) bool { return state == "confirmed" || strings.HasPrefix(state, "cancelled") }

// watch places one order after the other. Three goroutines read it, and sometimes cancel it, until
// it has ended.
func (h *history) watch(t *testing.T, r *rand.Rand, customer string) {
	token := h.token("customer", customer)
	for i := 0; h.goesOn(t, r, i); i++ {
		id := h.place(t, customer, token, skus[r.IntN(len(skus))], mix[r.IntN(len(mix))], 1)
		var hands sync.WaitGroup
		for range 3 {
			r := rand.New(rand.NewPCG(r.Uint64(), 0))
			hands.Go(func() {
				// Two more rounds when it may rest.
				for step, state := 0, ""; id != "" && !final(state) && h.goesOn(t, r, least-2+step); step++ {
					what := read
					if r.IntN(4) == 0 {
						what = cancelling
					}
					state = h.ask(t, token, id, what)
				}
			})
		}
		hands.Wait()
	}
}

// buy orders from the shelves, restocks and reads them.
func (h *history) buy(t *testing.T, r *rand.Rand, customer string) {
	token := h.token("customer", customer)
	for i := 0; h.goesOn(t, r, i); i++ {
		sku := h.shelves[r.IntN(len(h.shelves))]
		switch n := r.IntN(10); {
		case n < 5:
			p := purchase{sku: sku, token: token, quantity: 1 + r.Int64N(3), call: h.now()}
			if p.id = h.place(t, customer, token, sku, "tok_ok", p.quantity); p.id == "" {
				return
			}
			for step := 0; !final(p.state) && h.goesOn(t, r, step); step++ {
				p.state, p.seen = h.ask(t, token, p.id, read), h.now()
			}
			h.mu.Lock()
			h.bought = append(h.bought, p)
			h.mu.Unlock()
		case n < 7:
			h.restock(t, sku, 1+r.Int64N(3))
		default:
			h.look(t, sku)
		}
	}
}

// place places an order of one line, with retries, and returns its id.
func (h *history) place(t *testing.T, customer, token, sku, paymentToken string, quantity int64) (id string) {
	body := fmt.Sprintf(`{"email":"%s@mail.example","payment_token":%q,"lines":[{"sku":%q,"quantity":%d}]}`, uuid.NewString(),
		paymentToken, sku, quantity)
	id, err := insist(t.Context(), h.url(), token, uuid.NewString(), body, unreported)
	if err != nil {
		h.finds(answered, "%v", err)
		return ""
	}
	h.load.acknowledged(placed{id: id, customer: customer, paymentToken: paymentToken})
	return id
}

// ask reads or cancels an order and returns its state.
func (h *history) ask(t *testing.T, token, id, what string) (state string) {
	call, method, path := h.now(), http.MethodGet, "/v1/orders/"+id
	if what == cancelling {
		method, path = http.MethodPost, path+"/cancel"
	}
	var order struct{ Status, Reason string }
	status, known := h.send(t, path, ask.Request{Method: method, Token: token}, &order)
	op := one(call, h.now(), what, strings.TrimSpace(order.Status+" "+order.Reason))
	switch {
	case !known && what == read: // no effect
		return noAnswer
	case !known:
		op.Output, op.Return = noAnswer, end
	case status == http.StatusConflict && what == cancelling:
		op.Output = "confirmed"
	case status != http.StatusOK:
		h.finds(linear, "%s of order %s: status %d", what, id, status)
		return noAnswer
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orders[id] = append(h.orders[id], op)
	return op.Output.(string)
}

// product is a product in the public API.
type product struct {
	OnHand    int64 `json:"on_hand"`
	Reserved  int64 `json:"reserved"`
	Shipped   int64 `json:"shipped"`
	Initial   int64 `json:"initial"`
	Restocked int64 `json:"restocked"`
}

// saw records an operation on a shelf and its answer.
func (h *history) saw(sku string, call int64, op stockOp, p product) {
	back := h.now()
	if p.OnHand+p.Reserved+p.Shipped != p.Initial+p.Restocked {
		h.finds(linear, "%s shows %+v, which does not add up", sku, p)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stock[sku] = append(h.stock[sku], one(call, back, op, shelf{onHand: p.OnHand, restocked: p.Restocked}))
}

func (h *history) look(t *testing.T, sku string) {
	var p product
	call := h.now()
	if status, known := h.send(t, "/v1/inventory/products/"+sku, ask.Request{}, &p); known && status == http.StatusOK {
		h.saw(sku, call, stockOp{what: read}, p)
	}
}

// restock restocks a shelf once, with retries.
func (h *history) restock(t *testing.T, sku string, quantity int64) {
	var p product
	call := h.now()
	add := ask.Request{Method: http.MethodPost, Token: h.token("staff", "grace"), Key: uuid.NewString(), Body: fmt.Sprintf(`{"quantity":%d}`, quantity)}
	for deadline := time.Now().Add(patience); t.Context().Err() == nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if status, known := h.send(t, "/v1/inventory/products/"+sku+"/restock", add, &p); known && status == http.StatusOK {
			h.saw(sku, call, stockOp{what: restock, quantity: quantity}, p)
			return
		}
	}
	h.finds(answered, "%s was not restocked within %s", sku, patience)
}

// send sends a request to the processes in turn. After a 5xx its effect is unknown.
func (h *history) send(t *testing.T, path string, r ask.Request, into any) (status int, known bool) {
	r.URL = h.url() + path
	a, err := r.Send(t.Context(), client)
	if err == nil && a.Status == http.StatusOK {
		err = json.Unmarshal(a.Body, into)
	}
	if err != nil || a.Status >= 500 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.unanswered++
		return a.Status, false
	}
	return a.Status, true
}

func (h *history) url() string { return h.urls[int(h.sent.Add(1))%len(h.urls)] }
