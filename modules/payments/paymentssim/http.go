package paymentssim

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if asked := "Bearer " + p.secret; p.secret != "" && r.URL.Path != "/ledger" && // a page for people
		subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(asked)) == 0 {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "the bearer token is not the merchant's"})
		return
	}
	p.routes.ServeHTTP(w, r)
}

func (p *Provider) serveMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /captures", func(w http.ResponseWriter, r *http.Request) { p.handleOperation(w, r, false) })
	mux.HandleFunc("POST /refunds", func(w http.ResponseWriter, r *http.Request) { p.handleOperation(w, r, true) })
	mux.HandleFunc("GET /operations/{key}", p.handleLookUp)
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"items": p.Ledger(r.URL.Query().Get("key"))})
	})
	return mux
}

func (p *Provider) handleOperation(w http.ResponseWriter, r *http.Request, refund bool) {
	var req request
	// Read to its end: else net/http does not notice when the client disconnects.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil || json.Unmarshal(body, &req) != nil || !req.valid(refund) {
		writeError(w, errInvalid)
		return
	}
	if held := p.waits(); held != nil {
		p.wait(r, held)
	}
	op, first, err := p.begin(req)
	if err != nil {
		writeError(w, err)
		return
	}
	p.wait(r, op.settled)
	if first && req.Source == "tok_timeout" {
		p.wait(r, nil) // the effect has happened, and this request gets no answer
	}
	writeJSON(w, http.StatusOK, op.answer)
}

// wait returns at the signal. It aborts the request if the client or the provider ends it first.
func (p *Provider) wait(r *http.Request, signal <-chan struct{}) {
	select {
	case <-signal:
		return
	case <-r.Context().Done():
	case <-p.closing:
	}
	panic(http.ErrAbortHandler)
}

// handleLookUp returns the outcome of a key, for a merchant that got no answer.
func (p *Provider) handleLookUp(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	op, ok := p.ops[r.PathValue("key")]
	p.mu.Unlock()
	if !ok {
		writeError(w, errUnknown)
		return
	}
	select {
	case <-op.settled:
		writeJSON(w, http.StatusOK, op.answer)
	default:
		writeJSON(w, http.StatusAccepted, answer{Outcome: "pending"})
	}
}

// statuses are those of the errors that a merchant may get.
var statuses = map[error]int{
	errInvalid: http.StatusBadRequest, errMismatch: http.StatusConflict, errUnknown: http.StatusNotFound,
	errTooMuch: http.StatusUnprocessableEntity, errTrouble: http.StatusServiceUnavailable,
}

func writeError(w http.ResponseWriter, err error) {
	status, body := http.StatusInternalServerError, map[string]string{"error": err.Error()}
	for kind, of := range statuses {
		if errors.Is(err, kind) {
			status = of
		}
	}
	if errors.Is(err, errUnknown) {
		body["outcome"] = "unknown" // the provider's own word, unlike a 404 of anything before it
	}
	writeJSON(w, status, body)
}
