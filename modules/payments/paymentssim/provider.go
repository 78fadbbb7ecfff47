// Package paymentssim simulates the payment provider, for development and tests. A request with an
// idempotency key that it has seen has no second effect, and its ledger lists every effect, so that
// a test can check this.
//
//	tok_ok        approved                     tok_declined  refused, as is every unknown token
//	tok_flaky     two answers of 503 without an effect, then approved
//	tok_slow      approved after a delay; until then a look-up answers "pending"
//	tok_timeout   approved at once, but the first request gets no answer
package paymentssim

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Options of a simulated provider; the zero value works.
type Options struct {
	SlowDelay time.Duration // of tok_slow; 90 s if zero
	Secret    string        // which requests must have as their bearer token; none if empty
	Journal   string        // a file that keeps the ledger over a restart; none if empty
}

// Provider is the simulated payment provider. It is safe for concurrent use.
type Provider struct {
	slow    time.Duration
	secret  string
	routes  *http.ServeMux
	closing chan struct{} // closed by Close, to abort the waiting requests

	mu      sync.Mutex
	ops     map[string]*operation // by idempotency key
	flaky   map[string]int        // how often each tok_flaky key has failed
	ledger  []Entry
	journal *os.File
	held    chan struct{} // closed by release; nil while nothing is held
}

// request is a merchant's request: a capture has a source, a refund the reference of its capture.
type request struct {
	Key       string `json:"idempotency_key"`
	Source    string `json:"source,omitempty"`
	Reference string `json:"reference,omitempty"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
}

// answer is the same for every request with the same key.
type answer struct {
	Reference string `json:"reference,omitempty"`
	Outcome   string `json:"outcome"`
	Reason    string `json:"reason,omitempty"`
}

// operation is a request with its effect; while settled is open, the effect is still to come.
type operation struct {
	request request
	answer  answer
	settled chan struct{}
}

// Entry is one effect. A capture that happened twice would have two.
type Entry struct {
	Seq       int       `json:"seq"`
	At        time.Time `json:"at"`
	Key       string    `json:"idempotency_key"`
	Kind      string    `json:"kind"` // capture or refund
	Outcome   string    `json:"outcome"`
	Reference string    `json:"reference"`
	Amount    int64     `json:"amount"`
	Currency  string    `json:"currency"`
}

var (
	errInvalid  = errors.New("a key, a positive amount and a currency are required")
	errMismatch = errors.New("the key belongs to another request")
	errUnknown  = errors.New("no such capture")
	errTooMuch  = errors.New("more than what is left of the capture")
	errTrouble  = errors.New("try again later")
)

// New returns a provider, with the effects of the journal if there is one.
func New(o Options) (*Provider, error) {
	p := &Provider{
		slow: o.SlowDelay, secret: o.Secret, closing: make(chan struct{}),
		ops: map[string]*operation{}, flaky: map[string]int{},
	}
	if p.slow == 0 {
		p.slow = 90 * time.Second
	}
	if err := p.open(o.Journal); err != nil {
		return nil, err
	}
	p.routes = p.serveMux()
	return p, nil
}

// Close aborts the waiting requests and closes the journal. A slow capture under way is lost.
func (p *Provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closing:
		return nil
	default:
		close(p.closing)
	}
	if p.journal == nil {
		return nil
	}
	return p.journal.Close()
}

// Hold blocks captures and refunds, before their effect, until release; look-ups are answered.
func (p *Provider) Hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held == held {
			p.held = nil
		}
		close(held)
	})
}

// Ledger returns the entries of one key or of all, oldest first.
func (p *Provider) Ledger(key string) []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	entries := []Entry{} // an empty list in JSON, never null
	for _, e := range p.ledger {
		if key == "" || e.Key == key {
			entries = append(entries, e)
		}
	}
	return entries
}

// begin finds or starts the operation of the key under one lock, so that of equal requests one has
// the effect. first reports whether it was this one.
func (p *Provider) begin(r request) (op *operation, first bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op, ok := p.ops[r.Key]; ok {
		if op.request != r {
			return nil, false, errMismatch
		}
		return op, false, nil
	}
	if r.Source == "tok_flaky" && p.flaky[r.Key] < 2 {
		p.flaky[r.Key]++
		return nil, false, errTrouble
	}
	op = &operation{request: r, settled: make(chan struct{})}
	if r.Source == "tok_slow" {
		p.ops[r.Key] = op
		time.AfterFunc(p.slow, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			_ = p.settle(op) // even if the client has disconnected
		})
		return op, true, nil
	}
	if r.Reference != "" {
		if err := p.refundable(r); err != nil {
			return nil, false, err
		}
	}
	if err := p.settle(op); err != nil {
		return nil, false, err
	}
	p.ops[r.Key] = op
	return op, true, nil
}

// settle applies the effect. The caller holds the lock.
func (p *Provider) settle(op *operation) error {
	a := answer{Outcome: "approved", Reference: "cap_" + strings.ToLower(rand.Text())}
	switch op.request.Source {
	case "": // a refund
		a.Reference = "ref_" + strings.ToLower(rand.Text())
	case "tok_ok", "tok_flaky", "tok_slow", "tok_timeout":
	case "tok_declined":
		a.Outcome, a.Reason = "refused", "declined_by_issuer"
	default:
		a.Outcome, a.Reason = "refused", "unknown_source"
	}
	line := record{At: time.Now().UTC(), Request: op.request, Answer: a}
	if err := p.write(line); err != nil {
		return err
	}
	p.enter(op, line)
	return nil
}

// enter adds the effect to the ledger and unblocks the requests that wait for it.
func (p *Provider) enter(op *operation, line record) {
	kind := "capture"
	if op.request.Reference != "" {
		kind = "refund"
	}
	p.ledger = append(p.ledger, Entry{
		Seq: len(p.ledger) + 1, At: line.At, Key: op.request.Key, Kind: kind, Outcome: line.Answer.Outcome,
		Reference: line.Answer.Reference, Amount: op.request.Amount, Currency: op.request.Currency,
	})
	op.answer = line.Answer
	close(op.settled)
}

// refundable refuses a refund that exceeds the rest of the capture. The caller holds the lock.
func (p *Provider) refundable(r request) error {
	left, found := int64(0), false
	for _, op := range p.ops {
		switch {
		case op.answer.Outcome != "approved" || op.request.Currency != r.Currency:
		case op.answer.Reference == r.Reference:
			left, found = left+op.request.Amount, true
		case op.request.Reference == r.Reference:
			left -= op.request.Amount
		}
	}
	switch {
	case !found:
		return errUnknown
	case r.Amount > left:
		return errTooMuch
	}
	return nil
}

func (r request) valid(refund bool) bool {
	return r.Key != "" && r.Amount > 0 && len(r.Currency) == 3 &&
		(r.Reference != "") == refund && (r.Source != "") != refund
}

// waits returns the channel that requests have to wait for, or nil.
func (p *Provider) waits() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // it fails only if the client has disconnected
}
