// Package load places orders as customers do and measures how long each takes. It uses only the
// public HTTP API, so it runs against any base URL.
//
// It promises that no slow answer hides another one. At a rate, an order's time counts from when it
// was due, not from when it was sent: a shop that stalls for a second delays every customer of that
// second. (Coordinated omission: Gil Tene, "How NOT to Measure Latency".)
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Plan says how orders are placed.
type Plan struct {
	URL     string        // of the shop
	Tokens  []string      // of customers, who order in turn
	SKUs    []string      // what they order, in turn: two at a time, if there are two
	Clients int           // how many order at once, each waiting for its answer
	Rate    int           // orders a second, whatever the answers do; 0 leaves the pace to Clients
	For     time.Duration // how long
	// Admit, unless nil, is called before each order is sent. It may wait, to limit the orders that
	// are under way, or return false to end the run.
	Admit func() bool
}

// Order is the result of one order.
type Order struct {
	ID    string        // the shop's name for it; empty when it was refused
	Token string        // of its customer
	Due   time.Time     // when it was to be sent
	Took  time.Duration // from then until the whole answer was there
	Err   error         // why it was refused
}

const timeout = 20 * time.Second

// Run places orders until the time is over or ctx ends, and then waits for the answers under way.
// It calls done for each order, one at a time, in the order of the answers.
func (p Plan) Run(ctx context.Context, done func(Order)) error {
	if len(p.Tokens) == 0 || len(p.SKUs) == 0 || p.Clients < 1 && p.Rate < 1 {
		return errors.New("place orders: there must be a customer, a product, and a number of clients or a rate")
	}
	options := []func(*vegeta.Attacker){vegeta.Timeout(timeout)}
	limit := time.Duration(0) // at a rate pace ends the run, with its last order
	if p.Rate == 0 {
		options = append(options, vegeta.Workers(uint64(p.Clients)), vegeta.MaxWorkers(uint64(p.Clients)))
		limit = p.For
	}
	attacker := vegeta.NewAttacker(options...)
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	began := time.Now()
	for hit := range attacker.Attack(p.target(), p.pace(ctx), limit, "") {
		o := Order{Token: p.tokenOf(hit), Due: hit.Timestamp, Took: hit.Latency}
		if p.Rate > 0 {
			o.Due = began.Add(p.interval() * time.Duration(hit.Seq))
			o.Took += hit.Timestamp.Sub(o.Due)
		}
		o.ID, o.Err = answered(hit)
		done(o)
	}
	return nil
}

func (p Plan) interval() time.Duration { return time.Second / time.Duration(p.Rate) }

// pace says when the next order is sent. At a rate, a late order does not delay the others.
func (p Plan) pace(ctx context.Context) vegeta.Pacer {
	return pacer(func(elapsed time.Duration, sent uint64) (wait time.Duration, stop bool) {
		if ctx.Err() != nil || p.Admit != nil && !p.Admit() {
			return 0, true
		}
		if p.Rate == 0 {
			return 0, false // the next client that is free sends it
		}
		due := p.interval() * time.Duration(sent)
		return due - elapsed, due >= p.For
	})
}

type pacer func(elapsed time.Duration, sent uint64) (wait time.Duration, stop bool)

func (f pacer) Pace(elapsed time.Duration, sent uint64) (time.Duration, bool) {
	return f(elapsed, sent)
}

// Rate is for vegeta's plots, which are not used.
func (f pacer) Rate(time.Duration) float64 { return 0 }

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// target makes the requests: each a new order of the next customer, under a key of its own.
func (p Plan) target() vegeta.Targeter {
	var orders atomic.Int64
	url := strings.TrimRight(p.URL, "/") + "/v1/orders"
	return func(t *vegeta.Target) error {
		n := int(orders.Add(1))
		body, err := json.Marshal(map[string]any{
			"email": fmt.Sprintf("customer-%d@mail.example", n), "payment_token": "tok_ok",
			"lines": p.lines(n),
		})
		t.Method, t.URL, t.Body = http.MethodPost, url, body
		t.Header = http.Header{
			"Authorization":   {"Bearer " + p.token(n)},
			"Content-Type":    {"application/json"},
			"Idempotency-Key": {uuid.NewString()},
			"X-Request-Id":    {requestID + strconv.Itoa(n)},
		}
		return err
	}
}

func (p Plan) token(n int) string { return p.Tokens[n%len(p.Tokens)] }

// requestID begins the id of a request; the number of the order ends it, which the answer repeats.
const requestID = "load."

func (p Plan) tokenOf(hit *vegeta.Result) string {
	n, _ := strconv.Atoi(strings.TrimPrefix(hit.Headers.Get("X-Request-Id"), requestID)) // 0 without an answer
	return p.token(n)
}

func (p Plan) lines(n int) []line {
	lines := []line{{p.SKUs[n%len(p.SKUs)], 1}}
	if len(p.SKUs) > 1 {
		lines = append(lines, line{p.SKUs[(n+1)%len(p.SKUs)], 2})
	}
	return lines
}

// answered returns the order's id, the end of its address, or why there is none.
func answered(hit *vegeta.Result) (id string, err error) {
	if hit.Code == http.StatusCreated {
		return path.Base(hit.Headers.Get("Location")), nil
	}
	var problem struct{ Title, Detail string }
	if json.NewDecoder(bytes.NewReader(hit.Body)).Decode(&problem) == nil && problem.Title != "" {
		return "", fmt.Errorf("%d %s: %s", hit.Code, problem.Title, problem.Detail)
	}
	if hit.Code == 0 { // no answer
		return "", errors.New(hit.Error)
	}
	return "", fmt.Errorf("%d %s", hit.Code, http.StatusText(int(hit.Code)))
}
