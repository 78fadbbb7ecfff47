package payments

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// What each response of the provider means. An unknown outcome must not be taken for a refusal: the
// order would be cancelled, and the money kept.
func TestProviderAnswers(t *testing.T) {
	t.Parallel()
	yes := answer{outcome: approved, reference: "cap_1"}
	errOpen := errors.New("any error: the outcome is unknown")
	for name, test := range map[string]struct {
		code             int
		body             string
		called, lookedUp answer
		callErr, lookErr error
	}{
		"approved":            {code: 200, body: `{"reference":"cap_1","outcome":"approved"}`, called: yes, lookedUp: yes},
		"approved, new field": {code: 200, body: `{"reference":"cap_1","outcome":"approved","fee":3}`, called: yes, lookedUp: yes},
		"refused": {
			code: 200, body: `{"reference":"cap_2","outcome":"refused","reason":"insufficient_funds"}`,
			called:   answer{outcome: refused, reference: "cap_2", reason: "insufficient_funds"},
			lookedUp: answer{outcome: refused, reference: "cap_2", reason: "insufficient_funds"},
		},
		"a reason that names the card": {
			code: 200, body: `{"outcome":"refused","reason":"card 4111 1111 is stolen"}`,
			called: answer{outcome: refused, reason: "refused"}, lookedUp: answer{outcome: refused, reason: "refused"},
		},
		"under way":             {code: 202, body: `{"outcome":"pending"}`, callErr: errUnderWay, lookErr: errUnderWay},
		"an unknown outcome":    {code: 200, body: `{"reference":"cap_1","outcome":"maybe"}`, callErr: errUnknownAnswer, lookErr: errUnknownAnswer},
		"no reference":          {code: 200, body: `{"outcome":"approved"}`, callErr: errUnknownAnswer, lookErr: errUnknownAnswer},
		"no JSON":               {code: 200, body: `<html>`, callErr: errUnknownAnswer, lookErr: errUnknownAnswer},
		"bad request":           {code: 400, called: answer{outcome: refused, reason: "invalid_request"}, lookErr: errOpen},
		"payment required":      {code: 402, called: answer{outcome: refused, reason: "invalid_request"}, lookErr: errOpen},
		"unprocessable":         {code: 422, called: answer{outcome: refused, reason: "invalid_request"}, lookErr: errOpen},
		"no record":             {code: 404, body: `{"outcome":"unknown"}`, callErr: errNoRecord, lookErr: errNoRecord},
		"a wrong address":       {code: 404, body: `<html>`, callErr: errOpen, lookErr: errOpen},
		"another's not found":   {code: 404, body: `{"error":"no such route"}`, callErr: errOpen, lookErr: errOpen},
		"unauthorized":          {code: 401, callErr: errOpen, lookErr: errOpen},
		"key taken":             {code: 409, callErr: errOpen, lookErr: errOpen},
		"too many requests":     {code: 429, callErr: errOpen, lookErr: errOpen},
		"moved":                 {code: 302, callErr: errOpen, lookErr: errOpen},
		"failed":                {code: 500, callErr: errOpen, lookErr: errOpen},
		"failed with a verdict": {code: 503, body: `{"reference":"cap_1","outcome":"refused"}`, callErr: errOpen, lookErr: errOpen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.code)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			p := newHTTPProvider(Config{ProviderURL: server.URL + "/", CallTimeout: time.Minute})
			check := func(operation string, got, want answer, err, wantErr error) {
				t.Helper()
				if (err == nil) != (wantErr == nil) || !errors.Is(wantErr, errOpen) && !errors.Is(err, wantErr) {
					t.Errorf("%s: error %v, want %v", operation, err, wantErr)
				}
				if errors.Is(wantErr, errOpen) && errors.Is(err, errNoRecord) {
					t.Errorf("%s: error %v would let the capture be called off", operation, err)
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
					t.Errorf("%s: %s", operation, diff)
				}
			}
			got, err := p.Capture(t.Context(), uuid.New(), "tok_ok", money{1200, "EUR"})
			check("capture", got, test.called, err, test.callErr)
			got, err = p.Refund(t.Context(), uuid.New(), "cap_1", money{1200, "EUR"})
			check("refund", got, test.called, err, test.callErr)
			got, err = p.Lookup(t.Context(), uuid.New())
			check("lookup", got, test.lookedUp, err, test.lookErr)
		})
	}
}

func TestProviderTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	p := newHTTPProvider(Config{ProviderURL: server.URL, CallTimeout: 20 * time.Millisecond})
	if a, err := p.Capture(t.Context(), uuid.New(), "tok_ok", money{1200, "EUR"}); err == nil {
		t.Errorf("capture answered %+v without an answer", a)
	}
}
