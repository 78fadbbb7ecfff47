package acceptance

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

func TestBadPlacements(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	good := placement{c.email, "tok_ok", []line{{"honey-linden", 1}}}
	manyLines := placement{c.email, "tok_ok", slices.Repeat([]line{{"honey-linden", 1}}, 51)}
	bad := func(body any) request { return c.placing(uuid.NewString(), body) }
	noJSON := bad(secret)
	noJSON.header = http.Header{"Content-Type": {"text/plain"}}
	checkProblems(t, map[string]refused{
		"malformed JSON":    {bad(`{"email": "` + secret), http.StatusBadRequest, "malformed-request"},
		"not an object":     {bad(`"` + secret + `"`), http.StatusUnprocessableEntity, "validation-failed"},
		"empty body":        {bad(``), http.StatusBadRequest, "malformed-request"},
		"unknown field":     {bad(`{"email":"a@mail.example","payment_token":"tok_ok","lines":[{"sku":"honey-linden","quantity":1}],"coupon":"` + secret + `"}`), http.StatusUnprocessableEntity, "validation-failed"},
		"missing field":     {bad(`{"email":"a@mail.example","lines":[{"sku":"honey-linden","quantity":1}]}`), http.StatusUnprocessableEntity, "validation-failed"},
		"zero quantity":     {bad(placement{c.email, "tok_ok", []line{{"honey-linden", 0}}}), http.StatusUnprocessableEntity, "validation-failed"},
		"negative quantity": {bad(placement{c.email, "tok_ok", []line{{"honey-linden", -1}}}), http.StatusUnprocessableEntity, "validation-failed"},
		"huge quantity":     {bad(placement{c.email, "tok_ok", []line{{"honey-linden", 1 << 40}}}), http.StatusUnprocessableEntity, "validation-failed"},
		"text for a number": {bad(`{"email":"a@mail.example","payment_token":"tok_ok","lines":[{"sku":"honey-linden","quantity":"` + secret + `"}]}`), http.StatusUnprocessableEntity, "validation-failed"},
		"no lines":          {bad(placement{c.email, "tok_ok", []line{}}), http.StatusUnprocessableEntity, "validation-failed"},
		"too many lines":    {bad(manyLines), http.StatusUnprocessableEntity, "validation-failed"},
		"no e-mail address": {bad(placement{secret, "tok_ok", good.Lines}), http.StatusUnprocessableEntity, "validation-failed"},
		"unknown sku":       {bad(placement{c.email, "tok_ok", []line{{secret, 1}}}), http.StatusUnprocessableEntity, "unknown-sku"},
		"2 MiB":             {bad(placement{strings.Repeat("a", 2<<20), "tok_ok", good.Lines}), http.StatusRequestEntityTooLarge, "body-too-large"},
		"not JSON at all":   {noJSON, http.StatusUnsupportedMediaType, "unsupported-media-type"},
	})
}

// An order is answered whatever the client accepts.
func TestAnOrderIsAnsweredWhateverIsAccepted(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	for _, accept := range []string{"text/html;,application/json", "application/json;,x", "text/html;q=0.9;,*/*", "a; ,b", "application/xml"} {
		key := uuid.NewString()
		place := func(accept string) order {
			placing := c.placing(key, placement{c.email, "tok_ok", []line{{"honey-linden", 1}}})
			placing.header = http.Header{"Accept": {accept}}
			return decode[order](t, placing.send(t), http.StatusCreated)
		}
		if first, again := place(accept), place("application/json"); first.ID != again.ID {
			t.Errorf("%s: orders %s and %s", accept, first.ID, again.ID)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	body := placement{c.email, "tok_ok", []line{{"honey-linden", 1}}}
	t.Run("too long", func(t *testing.T) {
		t.Parallel()
		checkProblem(t, c.placing(strings.Repeat("k", 300), body).send(t), http.StatusBadRequest, "invalid-header")
	})
	t.Run("again", func(t *testing.T) {
		t.Parallel()
		key := uuid.NewString()
		first := c.placing(key, body).send(t)
		c.settled(t, decode[order](t, first, http.StatusCreated).ID)
		again := c.placing(key, body).send(t) // with the first answer
		if again.status != first.status || string(again.body) != string(first.body) || again.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("first %d %s, again %d %s", first.status, first.body, again.status, again.body)
		}
	})
	t.Run("of another customer", func(t *testing.T) {
		t.Parallel()
		key := uuid.NewString()
		mine := decode[order](t, c.placing(key, body).send(t), http.StatusCreated)
		theirs := decode[order](t, newCustomer(t).placing(key, body).send(t), http.StatusCreated)
		if mine.ID == theirs.ID {
			t.Error("two customers share an order")
		}
	})
	t.Run("at the same time", func(t *testing.T) {
		t.Parallel()
		key := uuid.NewString()
		var mu sync.Mutex
		ids := map[string]bool{}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				a := c.placing(key, body).send(t)
				if a.status == http.StatusConflict {
					checkProblem(t, a, http.StatusConflict, "request-running")
					return
				}
				var o order
				if err := json.Unmarshal(a.body, &o); err != nil || a.status != http.StatusCreated {
					t.Errorf("%d %s", a.status, a.body)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[o.ID] = true
			})
		}
		all.Wait()
		if len(ids) != 1 {
			t.Errorf("one key made %d orders", len(ids))
		}
	})
}
