package payments

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/payments/paymentssim"
)

// What each response of the provider means. An unknown outcome must not be taken for a refusal: the
// order would be cancelled, and the money kept.
func TestProviderAnswers(t *testing.T) {
	t.Parallel()
	yes := answer{outcome: approved, reference: "cap_1"}
	errOpen := errors.New("any error: the outcome is unknown")
	no := func(reference, reason string) answer {
		return answer{outcome: refused, reference: reference, reason: reason}
	}
	for name, test := range map[string]struct {
		code             int
		body             string
		called, lookedUp answer
		callErr, lookErr error
	}{
		"approved": {200, `{"reference":"cap_1","outcome":"approved","new field":3}`, yes, yes, nil, nil},
		"refused": {200, `{"reference":"cap_2","outcome":"refused","reason":"insufficient_funds"}`,
			no("cap_2", "insufficient_funds"), no("cap_2", "insufficient_funds"), nil, nil},
		"a reason that names the card": {200, `{"outcome":"refused","reason":"card 4111 1111 is stolen"}`,
			no("", "refused"), no("", "refused"), nil, nil},
		"under way":             {202, `{"outcome":"pending"}`, answer{}, answer{}, errUnderWay, errUnderWay},
		"an unknown outcome":    {200, `{"reference":"cap_1","outcome":"maybe"}`, answer{}, answer{}, errUnknownAnswer, errUnknownAnswer},
		"no reference":          {200, `{"outcome":"approved"}`, answer{}, answer{}, errUnknownAnswer, errUnknownAnswer},
		"no JSON":               {200, `<html>`, answer{}, answer{}, errUnknownAnswer, errUnknownAnswer},
		"bad request":           {400, "", no("", "invalid_request"), answer{}, nil, errOpen},
		"payment required":      {402, "", no("", "invalid_request"), answer{}, nil, errOpen},
		"unprocessable":         {422, "", no("", "invalid_request"), answer{}, nil, errOpen},
		"no record":             {404, `{"outcome":"unknown"}`, answer{}, answer{}, errNoRecord, errNoRecord},
		"a wrong address":       {404, `<html>`, answer{}, answer{}, errOpen, errOpen},
		"another's not found":   {404, `{"error":"no such route"}`, answer{}, answer{}, errOpen, errOpen},
		"unauthorized":          {401, "", answer{}, answer{}, errOpen, errOpen},
		"key taken":             {409, "", answer{}, answer{}, errOpen, errOpen},
		"too many requests":     {429, "", answer{}, answer{}, errOpen, errOpen},
		"moved":                 {302, "", answer{}, answer{}, errOpen, errOpen},
		"failed":                {500, "", answer{}, answer{}, errOpen, errOpen},
		"failed with a verdict": {503, `{"reference":"cap_1","outcome":"refused"}`, answer{}, answer{}, errOpen, errOpen},
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

// The simulated provider serves those who have its secret, and a wrong one is not a refusal: the
// outcome stays unknown until a person has corrected it.
func TestProviderAsksForTheSecret(t *testing.T) {
	t.Parallel()
	provider, err := paymentssim.New(paymentssim.Options{Secret: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(provider)
	defer server.Close()
	for secret, known := range map[string]bool{"": false, "s3cre": false, "s3cret": true} {
		p := newHTTPProvider(Config{ProviderURL: server.URL, ProviderSecret: secret, CallTimeout: time.Minute})
		a, err := p.Capture(t.Context(), uuid.New(), "tok_ok", money{1200, "EUR"})
		if known && (err != nil || a.outcome != approved) || !known && (err == nil || strings.Contains(err.Error(), "s3cre")) {
			t.Errorf("with %q: %+v, %v", secret, a, err)
		}
	}
	if n := len(provider.Ledger("")); n != 1 {
		t.Errorf("%d captures, want that of the one who knows the secret", n)
	}
}
