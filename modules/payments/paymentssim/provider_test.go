package paymentssim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/shop/modules/payments/paymentssim"
)

func provider(t *testing.T, o paymentssim.Options) *paymentssim.Provider {
	t.Helper()
	p, err := paymentssim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

type reply struct {
	status                     int
	Reference, Outcome, Reason string
}

// call returns status 0 if the provider ended the connection without an answer.
func call(ctx context.Context, p http.Handler, method, path, body string) (r reply) {
	defer func() {
		if end := recover(); end != nil && end != http.ErrAbortHandler {
			panic(end)
		}
	}()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body)))
	json.Unmarshal(w.Body.Bytes(), &r) // an error's body has none of these fields
	r.status = w.Code
	return r
}

func capture(ctx context.Context, p http.Handler, key, source string, amount int) reply {
	return call(ctx, p, "POST", "/captures",
		fmt.Sprintf(`{"idempotency_key":%q,"source":%q,"amount":%d,"currency":"EUR"}`, key, source, amount))
}

func refund(ctx context.Context, p http.Handler, key, reference string, amount int) reply {
	return call(ctx, p, "POST", "/refunds",
		fmt.Sprintf(`{"idempotency_key":%q,"reference":%q,"amount":%d,"currency":"EUR"}`, key, reference, amount))
}

func lookUp(ctx context.Context, p http.Handler, key string) reply {
	return call(ctx, p, "GET", "/operations/"+key, "")
}

func effects(t *testing.T, p *paymentssim.Provider, key string, want int) {
	t.Helper()
	if got := p.Ledger(key); len(got) != want {
		t.Errorf("ledger of %q has %d entries, want %d: %+v", key, len(got), want, got)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	p, ctx := provider(t, paymentssim.Options{}), t.Context()
	for source, want := range map[string]reply{
		"tok_ok":       {status: 200, Outcome: "approved"},
		"tok_declined": {status: 200, Outcome: "refused", Reason: "declined_by_issuer"},
		"tok_nonsense": {status: 200, Outcome: "refused", Reason: "unknown_source"},
	} {
		got := capture(ctx, p, source, source, 1200)
		if again := capture(ctx, p, source, source, 1200); again != got || lookUp(ctx, p, source) != got {
			t.Errorf("%s: first %+v, then %+v, looked up %+v", source, got, again, lookUp(ctx, p, source))
		}
		if !strings.HasPrefix(got.Reference, "cap_") {
			t.Errorf("%s: reference %q", source, got.Reference)
		}
		if got.Reference = ""; got != want {
			t.Errorf("%s: got %+v, want %+v", source, got, want)
		}
		if other := capture(ctx, p, source, source, 1300); other.status != 409 {
			t.Errorf("%s: another amount with the same key: %+v", source, other)
		}
		effects(t, p, source, 1)
	}
	for _, body := range []string{"", "{", `{"idempotency_key":"x","source":"tok_ok","amount":0,"currency":"EUR"}`} {
		if got := call(ctx, p, "POST", "/captures", body); got.status != 400 {
			t.Errorf("%q: status %d", body, got.status)
		}
	}
}

func TestFlaky(t *testing.T) {
	t.Parallel()
	p, ctx := provider(t, paymentssim.Options{}), t.Context()
	for range 2 {
		if got := capture(ctx, p, "k", "tok_flaky", 5); got.status != 503 || lookUp(ctx, p, "k").status != 404 {
			t.Errorf("got %+v", got)
		}
		effects(t, p, "k", 0)
	}
	if got := capture(ctx, p, "k", "tok_flaky", 5); got.Outcome != "approved" {
		t.Errorf("got %+v", got)
	}
}

func TestTimeoutCapturesAndNeverAnswers(t *testing.T) {
	t.Parallel()
	p := provider(t, paymentssim.Options{})
	server := httptest.NewServer(p) // a real one: the provider must notice that the client disconnects
	defer server.Close()
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		body := strings.NewReader(`{"idempotency_key":"k","source":"tok_timeout","amount":5,"currency":"EUR"}`)
		req, _ := http.NewRequestWithContext(ctx, "POST", server.URL+"/captures", body)
		_, err := server.Client().Do(req)
		first <- err
	}()
	for lookUp(t.Context(), p, "k").status != 200 { //nolint:revive // it waits
	}
	giveUp()
	if err := <-first; err == nil {
		t.Error("the first request got an answer")
	}
	got := capture(t.Context(), p, "k", "tok_timeout", 5)
	if got.Outcome != "approved" || got != lookUp(t.Context(), p, "k") {
		t.Errorf("got %+v", got)
	}
	effects(t, p, "k", 1)
}

// The clock is synctest's, so the 90 seconds take no time.
func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, ctx := provider(t, paymentssim.Options{}), t.Context()
		impatient, giveUp := context.WithTimeout(ctx, time.Second)
		defer giveUp()
		if got := capture(impatient, p, "k", "tok_slow", 5); got.status != 0 {
			t.Errorf("answered at once: %+v", got)
		}
		if got := lookUp(ctx, p, "k"); got != (reply{status: 202, Outcome: "pending"}) {
			t.Errorf("under way: %+v", got)
		}
		effects(t, p, "k", 0)
		start := time.Now()
		got := capture(ctx, p, "k", "tok_slow", 5) // waits for the first one
		if got.Outcome != "approved" || got != lookUp(ctx, p, "k") || time.Since(start) != 89*time.Second {
			t.Errorf("got %+v after %s", got, time.Since(start))
		}
		effects(t, p, "k", 1)
	})
}

func TestConcurrentRequestsHaveOneEffect(t *testing.T) {
	t.Parallel()
	p, ctx := provider(t, paymentssim.Options{}), t.Context()
	release := p.Hold()
	answers := make(chan reply, 50)
	var all sync.WaitGroup
	for range cap(answers) {
		all.Go(func() { answers <- capture(ctx, p, "k", "tok_ok", 5) })
	}
	release()
	all.Wait()
	first := <-answers
	for range cap(answers) - 1 {
		if next := <-answers; next != first || next.Outcome != "approved" {
			t.Errorf("%+v and %+v", first, next)
		}
	}
	effects(t, p, "k", 1)
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	p, ctx := provider(t, paymentssim.Options{}), t.Context()
	captured := capture(ctx, p, "c", "tok_ok", 1000)
	refused := capture(ctx, p, "d", "tok_declined", 1000)
	for _, step := range []struct {
		key, reference string
		amount, status int
	}{
		{"r1", captured.Reference, 400, 200},
		{"r1", captured.Reference, 400, 200}, // again: no effect
		{"r1", captured.Reference, 500, 409},
		{"r2", captured.Reference, 601, 422},
		{"r2", captured.Reference, 600, 200},
		{"r3", refused.Reference, 1, 404},
		{"r3", "cap_unknown", 1, 404},
	} {
		if got := refund(ctx, p, step.key, step.reference, step.amount); got.status != step.status {
			t.Errorf("%+v: got %+v", step, got)
		}
	}
	effects(t, p, "r1", 1)
	effects(t, p, "", 4)
}

func TestHold(t *testing.T) {
	t.Parallel()
	p, ctx := provider(t, paymentssim.Options{}), t.Context()
	defer p.Hold()()
	canceled, giveUp := context.WithCancel(ctx)
	giveUp()
	if got := capture(canceled, p, "k", "tok_ok", 5); got.status != 0 {
		t.Errorf("got %+v", got)
	}
	if got := lookUp(ctx, p, "k"); got.status != 404 {
		t.Errorf("a held capture had an effect: %+v", got)
	}
}

func TestJournalSurvivesARestart(t *testing.T) {
	t.Parallel()
	ctx, journal := t.Context(), filepath.Join(t.TempDir(), "journal")
	before := provider(t, paymentssim.Options{Journal: journal})
	captured := capture(ctx, before, "c", "tok_ok", 1000)
	refund(ctx, before, "r", captured.Reference, 1000)
	ledger := before.Ledger("")
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	torn, err := os.OpenFile(journal, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	torn.WriteString(`{"at":"20`) // killed in mid-write
	torn.Close()

	after := provider(t, paymentssim.Options{Journal: journal})
	if got := after.Ledger(""); fmt.Sprint(got) != fmt.Sprint(ledger) {
		t.Errorf("got %+v, want %+v", got, ledger)
	}
	if again := capture(ctx, after, "c", "tok_ok", 1000); again != captured {
		t.Errorf("got %+v, want %+v", again, captured)
	}
	if got := refund(ctx, after, "r2", captured.Reference, 1); got.status != 422 {
		t.Errorf("got %+v", got)
	}
	capture(ctx, after, "c2", "tok_ok", 1)
	effects(t, provider(t, paymentssim.Options{Journal: journal}), "", 3)
}
