package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// secret is input that no problem may repeat.
const secret = "s3cret-value"

// checkProblem fails unless the answer is a complete problem that repeats no input.
func checkProblem(t *testing.T, a answer, status int, kind string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	if p.Type != "urn:shop:problem:"+kind || p.Status != status || p.Title == "" || p.Detail == "" || len(p.TraceID) != 32 {
		t.Errorf("problem of kind %s is not complete: %s", kind, a.body)
	}
	if strings.Contains(string(a.body), secret) {
		t.Errorf("the problem repeats the input: %s", a.body)
	}
}

func TestBadPlacements(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	good := placement{c.email, "tok_ok", []line{{"honey-linden", 1}}}
	manyLines := placement{c.email, "tok_ok", slices.Repeat([]line{{"honey-linden", 1}}, 51)}
	tests := map[string]struct {
		body   any
		status int
		kind   string
	}{
		"malformed JSON":    {`{"email": "` + secret, http.StatusBadRequest, "malformed-request"},
		"not an object":     {`"` + secret + `"`, http.StatusUnprocessableEntity, "validation-failed"},
		"empty body":        {``, http.StatusBadRequest, "malformed-request"},
		"unknown field":     {`{"email":"a@mail.example","payment_token":"tok_ok","lines":[{"sku":"honey-linden","quantity":1}],"coupon":"` + secret + `"}`, http.StatusUnprocessableEntity, "validation-failed"},
		"missing field":     {`{"email":"a@mail.example","lines":[{"sku":"honey-linden","quantity":1}]}`, http.StatusUnprocessableEntity, "validation-failed"},
		"zero quantity":     {placement{c.email, "tok_ok", []line{{"honey-linden", 0}}}, http.StatusUnprocessableEntity, "validation-failed"},
		"negative quantity": {placement{c.email, "tok_ok", []line{{"honey-linden", -1}}}, http.StatusUnprocessableEntity, "validation-failed"},
		"huge quantity":     {placement{c.email, "tok_ok", []line{{"honey-linden", 1 << 40}}}, http.StatusUnprocessableEntity, "validation-failed"},
		"text for a number": {`{"email":"a@mail.example","payment_token":"tok_ok","lines":[{"sku":"honey-linden","quantity":"` + secret + `"}]}`, http.StatusUnprocessableEntity, "validation-failed"},
		"no lines":          {placement{c.email, "tok_ok", []line{}}, http.StatusUnprocessableEntity, "validation-failed"},
		"too many lines":    {manyLines, http.StatusUnprocessableEntity, "validation-failed"},
		"no e-mail address": {placement{secret, "tok_ok", good.Lines}, http.StatusUnprocessableEntity, "validation-failed"},
		"unknown sku":       {placement{c.email, "tok_ok", []line{{secret, 1}}}, http.StatusUnprocessableEntity, "unknown-sku"},
		"2 MiB":             {placement{strings.Repeat("a", 2<<20), "tok_ok", good.Lines}, http.StatusRequestEntityTooLarge, "body-too-large"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := request{method: http.MethodPost, path: "/v1/orders", token: c.token, key: uuid.NewString(), body: test.body}.send(t)
			checkProblem(t, a, test.status, test.kind)
		})
	}
	t.Run("not JSON at all", func(t *testing.T) {
		t.Parallel()
		a := request{
			method: http.MethodPost, path: "/v1/orders", token: c.token, key: uuid.NewString(), body: secret,
			header: http.Header{"Content-Type": {"text/plain"}},
		}.send(t)
		checkProblem(t, a, http.StatusUnsupportedMediaType, "unsupported-media-type")
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	body := placement{c.email, "tok_ok", []line{{"honey-linden", 1}}}
	place := func(t *testing.T, token, key string, body any) answer {
		t.Helper()
		return request{method: http.MethodPost, path: "/v1/orders", token: token, key: key, body: body}.send(t)
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		checkProblem(t, place(t, c.token, "", body), http.StatusBadRequest, "invalid-header")
	})
	t.Run("too long", func(t *testing.T) {
		t.Parallel()
		checkProblem(t, place(t, c.token, strings.Repeat("k", 300), body), http.StatusBadRequest, "invalid-header")
	})
	t.Run("again", func(t *testing.T) {
		t.Parallel()
		key := uuid.NewString()
		first := place(t, c.token, key, body)
		c.settled(t, decode[order](t, first, http.StatusCreated).ID)
		again := place(t, c.token, key, body) // with the first answer
		if again.status != first.status || string(again.body) != string(first.body) || again.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("first %d %s, again %d %s", first.status, first.body, again.status, again.body)
		}
	})
	t.Run("for another request", func(t *testing.T) {
		t.Parallel()
		key := uuid.NewString()
		decode[order](t, place(t, c.token, key, body), http.StatusCreated)
		other := placement{c.email, "tok_ok", []line{{"honey-linden", 2}}}
		checkProblem(t, place(t, c.token, key, other), http.StatusUnprocessableEntity, "idempotency-key-reused")
	})
	t.Run("of another customer", func(t *testing.T) {
		t.Parallel()
		key := uuid.NewString()
		mine := decode[order](t, place(t, c.token, key, body), http.StatusCreated)
		theirs := decode[order](t, place(t, newCustomer(t).token, key, body), http.StatusCreated)
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
				a := place(t, c.token, key, body)
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

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	c, other := newCustomer(t), newCustomer(t)
	o := c.place(t, "tok_ok", line{"honey-linden", 1})
	for name, test := range map[string]struct {
		request
		status int
		kind   string
	}{
		"unknown order":               {request{method: http.MethodGet, path: "/v1/orders/" + uuid.NewString(), token: c.token}, http.StatusNotFound, "order-not-found"},
		"another's order":             {request{method: http.MethodGet, path: "/v1/orders/" + o.ID, token: other.token}, http.StatusNotFound, "order-not-found"},
		"cancelling an unknown order": {request{method: http.MethodPost, path: "/v1/orders/" + uuid.NewString() + "/cancel", token: c.token}, http.StatusNotFound, "order-not-found"},
		"cancelling another's order":  {request{method: http.MethodPost, path: "/v1/orders/" + o.ID + "/cancel", token: other.token}, http.StatusNotFound, "order-not-found"},
		"an id that is none":          {request{method: http.MethodGet, path: "/v1/orders/" + secret, token: c.token}, http.StatusUnprocessableEntity, "validation-failed"},
		"unknown product":             {request{method: http.MethodGet, path: "/v1/inventory/products/" + secret}, http.StatusNotFound, "product-not-found"},
		"restock of an unknown sku": {request{method: http.MethodPost, path: "/v1/inventory/products/" + secret + "/restock", token: staff(), key: "k", body: map[string]int{"quantity": 1}},
			http.StatusNotFound, "product-not-found"},
		"a bad cursor":    {request{method: http.MethodGet, path: "/v1/orders?cursor=" + secret, token: c.token}, http.StatusBadRequest, "invalid-cursor"},
		"too large pages": {request{method: http.MethodGet, path: "/v1/orders?limit=101", token: c.token}, http.StatusUnprocessableEntity, "validation-failed"},
		"no order named":  {request{method: http.MethodGet, path: "/v1/payments", token: staff()}, http.StatusUnprocessableEntity, "validation-failed"},
		"no such route":   {request{method: http.MethodGet, path: "/v1/" + secret}, http.StatusNotFound, "no-such-route"},
		"wrong method":    {request{method: http.MethodDelete, path: "/v1/orders", token: c.token}, http.StatusMethodNotAllowed, "method-not-allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkProblem(t, test.send(t), test.status, test.kind)
		})
	}
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	id := uuid.NewString()
	routes := map[string]struct {
		request
		role string
	}{
		"place":         {request{method: http.MethodPost, path: "/v1/orders", key: id, body: "{}"}, "customer"},
		"list orders":   {request{method: http.MethodGet, path: "/v1/orders"}, "customer"},
		"get order":     {request{method: http.MethodGet, path: "/v1/orders/" + id}, "customer"},
		"cancel":        {request{method: http.MethodPost, path: "/v1/orders/" + id + "/cancel"}, "customer"},
		"restock":       {request{method: http.MethodPost, path: "/v1/inventory/products/x/restock", key: id, body: "{}"}, "staff"},
		"quotes":        {request{method: http.MethodPost, path: "/v1/inventory/quotes", body: "{}"}, "service"},
		"payments":      {request{method: http.MethodGet, path: "/v1/payments?order_id=" + id}, "staff"},
		"notifications": {request{method: http.MethodGet, path: "/v1/notifications?order_id=" + id}, "staff"},
	}
	for name, route := range routes {
		tokens := map[string]token{
			"expired":        {subject: "ada", role: route.role, ttl: -time.Minute},
			"wrong audience": {subject: "ada", role: route.role, audience: "elsewhere"},
			"unknown role":   {subject: "ada", role: "owner"},
			"wrong issuer":   {subject: "ada", role: route.role, issuer: "https://elsewhere.example"},
		}
		for flaw, tk := range tokens {
			t.Run(name+"/"+flaw, func(t *testing.T) {
				t.Parallel()
				r := route.request
				r.token = tk.mint()
				checkProblem(t, r.send(t), http.StatusUnauthorized, "unauthenticated")
			})
		}
		for flaw, tk := range map[string]string{"no token": "", "garbage": secret, "unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."} {
			t.Run(name+"/"+flaw, func(t *testing.T) {
				t.Parallel()
				r := route.request
				r.token = tk
				a := r.send(t)
				checkProblem(t, a, http.StatusUnauthorized, "unauthenticated")
				if a.header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			})
		}
		for _, role := range []string{"customer", "staff", "service"} {
			if role == route.role {
				continue
			}
			t.Run(name+"/as "+role, func(t *testing.T) {
				t.Parallel()
				r := route.request
				r.token = token{subject: "ada", role: role}.mint()
				checkProblem(t, r.send(t), http.StatusForbidden, "forbidden")
			})
		}
	}
	t.Run("products are public", func(t *testing.T) {
		t.Parallel()
		if p := get[page[product]](t, "", "/v1/inventory/products"); len(p.Items) == 0 {
			t.Error("no products")
		}
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	var want []string
	for range 5 {
		want = append(want, c.place(t, "tok_ok", line{"strainer-steel", 1}).ID)
	}
	slices.Reverse(want) // newest first
	var got []string
	path := "/v1/orders?limit=2"
	for pages := 1; ; pages++ {
		p := get[page[order]](t, c.token, path)
		for _, o := range p.Items {
			got = append(got, o.ID)
		}
		if p.Next == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		path = fmt.Sprintf("/v1/orders?limit=2&cursor=%s", *p.Next)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if others := get[page[order]](t, newCustomer(t).token, "/v1/orders"); len(others.Items) != 0 || others.Next != nil {
		t.Errorf("a new customer sees %+v", others)
	}
}

// external matches what a page loads from elsewhere.
var external = regexp.MustCompile(`(src|href)=["'](https?:)?//[^"']*`)

func TestDocumentsWorkOffline(t *testing.T) {
	t.Parallel()
	for _, module := range []string{"orders", "inventory", "payments", "notifications"} {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			document := get[map[string]any](t, "", "/v1/"+module+"/openapi.json")
			if v, _ := document["openapi"].(string); !strings.HasPrefix(v, "3.1") {
				t.Errorf("openapi %v", document["openapi"])
			}
			docs := request{method: http.MethodGet, path: "/v1/" + module + "/docs/"}.send(t)
			if docs.status != http.StatusOK {
				t.Errorf("docs %d", docs.status)
			}
			if loaded := external.Find(docs.body); loaded != nil {
				t.Errorf("the page loads %s", loaded)
			}
		})
	}
}
