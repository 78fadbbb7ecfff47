package orders

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/payments/paymentsapi"
)

const twoTeasAndACup = `{"email":"ada@example.com","payment_token":"tok_ok","lines":[{"sku":"tea","quantity":2},{"sku":"cup","quantity":1}]}`

// order places two teas and a cup for ada.
func (s *shop) order() uuid.UUID {
	s.t.Helper()
	status, _, answer := s.call("ada", "POST", "", twoTeasAndACup, uuid.NewString())
	id, _ := answer["id"].(string)
	if status != http.StatusCreated {
		s.t.Fatalf("status %d: %v", status, answer)
	}
	return uuid.MustParse(id)
}

func TestOrderThroughTheDoors(t *testing.T) {
	t.Parallel()
	s := setup(t)
	status, header, placed := s.call("ada", "POST", "", twoTeasAndACup, "monday")
	want := map[string]any{
		"id": placed["id"], "created_at": placed["created_at"], "status": "placed",
		"total": map[string]any{"amount": 4398.0, "currency": "EUR"},
		"lines": []any{
			map[string]any{"sku": "tea", "name": "Tea", "quantity": 2.0, "unit_price": 1299.0},
			map[string]any{"sku": "cup", "name": "Cup", "quantity": 1.0, "unit_price": 1800.0},
		},
	}
	if diff := cmp.Diff(want, placed); status != http.StatusCreated || diff != "" {
		t.Fatalf("status %d (-want +got):\n%s", status, diff)
	}
	path, ours := strings.CutPrefix(header.Get("Location"), "/v1/orders")
	if !ours {
		t.Fatalf("Location %q", header.Get("Location"))
	}

	status, header, again := s.call("ada", "POST", "", twoTeasAndACup, "monday")
	if diff := cmp.Diff(placed, again); status != http.StatusCreated || header.Get("Location") != "/v1/orders"+path || diff != "" {
		t.Errorf("again: status %d, Location %q\n%s", status, header.Get("Location"), diff)
	}
	// A later GET returns the same order.
	status, _, got := s.call("ada", "GET", path, "", "")
	if diff := cmp.Diff(placed, got); status != http.StatusOK || diff != "" {
		t.Errorf("get: status %d\n%s", status, diff)
	}
	status, _, cancelled := s.call("ada", "POST", path+"/cancel", "", "")
	if status != http.StatusOK || cancelled["status"] != "cancelled" || cancelled["reason"] != "customer" {
		t.Errorf("cancel: status %d, %v", status, cancelled)
	}
}

func TestListIsPaged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var want, got []any
	for range 3 {
		want = append([]any{s.order().String()}, want...) // newest first
	}
	for path := "?limit=2"; path != ""; {
		status, _, page := s.call("ada", "GET", path, "", "")
		if status != http.StatusOK {
			t.Fatalf("status %d: %v", status, page)
		}
		for _, item := range page["items"].([]any) {
			order := item.(map[string]any)
			got = append(got, order["id"])
			if lines := order["lines"].([]any); len(lines) != 2 {
				t.Errorf("%d lines", len(lines))
			}
		}
		path = ""
		if next, more := page["next"].(string); more {
			path = "?limit=2&cursor=" + next
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, _, page := s.call("eve", "GET", "", "", ""); len(page["items"].([]any)) != 0 {
		t.Errorf("eve sees %v", page["items"])
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := setup(t)
	adas, confirmed := "/"+s.order().String(), s.order()
	s.Given(inventoryapi.Reserved{OrderID: confirmed.String()}, paymentsapi.Captured{OrderID: confirmed.String()})
	s.call("ada", "POST", "", twoTeasAndACup, "used")
	other := strings.Replace(twoTeasAndACup, `"quantity":2`, `"quantity":3`, 1)

	for name, test := range map[string]struct {
		customer, method, path, body, key string
		status                            int
		kind                              string
	}{
		"without a token":    {"", "GET", adas, "", "", 401, "unauthenticated"},
		"of another":         {"eve", "GET", adas, "", "", 404, "order-not-found"},
		"of no order":        {"ada", "GET", "/" + uuid.NewString(), "", "", 404, "order-not-found"},
		"of no id":           {"ada", "GET", "/7", "", "", 422, "validation-failed"},
		"cancel another's":   {"eve", "POST", adas + "/cancel", "", "", 404, "order-not-found"},
		"cancel confirmed":   {"ada", "POST", "/" + confirmed.String() + "/cancel", "", "", 409, "order-confirmed"},
		"place without key":  {"ada", "POST", "", twoTeasAndACup, "", 400, "invalid-header"},
		"place on a key":     {"ada", "POST", "", other, "used", 422, "idempotency-key-reused"},
		"place without line": {"ada", "POST", "", `{"email":"ada@example.com","payment_token":"tok_ok","lines":[]}`, "k", 422, "validation-failed"},
		"list with a lie":    {"ada", "GET", "?cursor=tomorrow", "", "", 400, "invalid-cursor"},
	} {
		status, _, answer := s.call(test.customer, test.method, test.path, test.body, test.key)
		if status != test.status || answer["type"] != "urn:shop:problem:"+test.kind {
			t.Errorf("%s: status %d, %v; want %d %s", name, status, answer, test.status, test.kind)
		}
	}
	if got := s.status(uuid.MustParse(adas[1:])); got != "placed" {
		t.Errorf("after all that: %s", got)
	}
	// Another customer's request does not wait for the order's lock.
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), "SELECT FROM orders FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if status, _, answer := s.call("eve", "POST", adas+"/cancel", "", ""); status != http.StatusNotFound {
		t.Errorf("cancel another's that is being moved: status %d, %v", status, answer)
	}
}

// A placement is stored exactly as it was sent, or refused.
func TestPlacementsAreReadExactly(t *testing.T) {
	t.Parallel()
	s := setup(t)
	place := func(email, token, lines, key string) (int, map[string]any) {
		status, _, answer := s.call("ada", "POST", "",
			fmt.Sprintf(`{"email":"%s","payment_token":"%s","lines":[%s]}`, email, token, lines), key)
		return status, answer
	}
	const tea = `{"sku":"tea","quantity":1}`
	long := strings.Repeat("a", 64)
	for email, want := range map[string]int{
		"ada@example.com": 201, "o'hara+tea@sub.x.example": 201, "łukasz@żółw.example": 201, long + "@x.example": 201, "a@" + long[1:] + ".example": 201,
		"Ada <a@x.example>": 422, "<a@x.example>": 422, "g: a@x.example;": 422, "a@x.example (Ada)": 422, "(c)a@x.example": 422, " a@x.example": 422,
		"a@x.example ": 422, "a@x.example, b@x.example": 422, `\"a\"@x.example`: 422, `a\u2028b@x.example`: 422, `a\u200bb@x.example`: 422,
		`a@x\u200b.example`: 422, `a\tb@x.example`: 422, `\"a\tb\"@x.example`: 422, `a@x.example\n`: 422, `a@x.example\r\nDATA`: 422, `a\u00a0@x.example`: 422,
		"a@[127.0.0.1]": 422, "a@-x.example": 422, "a@x_y.example": 422, "a@x!y": 422, "a..b@x.example": 422, "a@x.": 422, "a@@x": 422, "@x": 422, "a@": 422, "": 422,
		"a" + long + "@x.example": 422, strings.Repeat("ł", 33) + "@x.example": 422, "a@a" + long[1:] + "b.example": 422,
		"a@" + strings.Repeat("ł.", 84) + "example": 422, // 254 characters at most is not 254 bytes
		"a\xff@x.example": 400, `a\ud800@x.example`: 400,
	} {
		if status, answer := place(email, "tok_ok", tea, uuid.NewString()); status != want {
			t.Errorf("email %q: %d %v, want %d", email, status, answer, want)
		}
	}
	for token, want := range map[string]int{`tok_\\u0000`: 201, `tok_\u0000`: 400, "tok_\xff": 400, `tok_\udc00`: 400} {
		if status, answer := place("ada@example.com", token, tea, uuid.NewString()); status != want {
			t.Errorf("token %q: %d %v, want %d", token, status, answer, want)
		}
	}
	if n := s.Count("SELECT count(*) FROM orders WHERE payment_token = $1", `tok_\u0000`); n != 1 {
		t.Errorf("%d orders with the backslash", n)
	}
	if n := s.Count("SELECT count(*) FROM orders WHERE strpos(payment_token || email, $1) > 0", "\ufffd"); n != 0 {
		t.Errorf("%d orders with a text that was not sent", n)
	}
	// The first is the request of this key, so the others are refused for what they are, and none
	// is taken for it.
	place("ada@example.com", `tok_\ufffd`, tea, "one key")
	for _, token := range []string{"tok_\xff", `tok_\ud800`} {
		if status, answer := place("ada@example.com", token, tea, "one key"); status != http.StatusBadRequest {
			t.Errorf("another request with the key: %d %v", status, answer)
		}
	}
	for quantity, want := range map[string]int{"1.0": 201, "1e0": 201, "10E-1": 201, "1.5": 422, "1e-1": 422, "1e5": 422, "0.0": 422, "1e999999": 400} {
		if status, answer := place("ada@example.com", "tok_ok", `{"sku":"tea","quantity":`+quantity+`}`, uuid.NewString()); status != want {
			t.Errorf("quantity %s: %d %v, want %d", quantity, status, answer, want)
		}
	}
	if status, answer := place("ada@example.com", "tok_ok", `{"sku":"tea","quantity":1.0}`, "number"); status != http.StatusCreated {
		t.Errorf("%d %v", status, answer)
	} else if _, again := place("ada@example.com", "tok_ok", tea, "number"); again["id"] != answer["id"] {
		t.Errorf("1.0 and 1 are two requests: %v", again)
	}
	// One fault: none of the items was validated.
	status, answer := place("ada@example.com", "tok_ok", "1"+strings.Repeat(",1", 499_999), "many")
	if faults, _ := answer["errors"].([]any); status != http.StatusUnprocessableEntity || len(faults) != 1 {
		t.Errorf("half a million lines: %d, %d faults", status, len(faults))
	}
}

func TestPlacementsThatCannotBePriced(t *testing.T) {
	t.Parallel()
	price := func(sku string, price inventoryapi.Money) inventoryapi.Quote {
		return inventoryapi.Quote{SKU: sku, Price: price}
	}
	for kind, stock := range map[string]shelf{
		"unknown-sku":      quoting(price("tea", eur(1))),
		"mixed-currencies": quoting(price("tea", eur(1)), price("cup", inventoryapi.Money{Amount: 1, Currency: "USD"})),
		"total-too-large":  quoting(price("tea", eur(math.MaxInt64/2)), price("cup", eur(math.MaxInt64/2))),
		"nothing-to-pay":   quoting(price("tea", eur(0)), price("cup", eur(0))),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.module.stock = stock
			status, _, answer := s.call("ada", "POST", "", twoTeasAndACup, "k")
			if status != http.StatusUnprocessableEntity || answer["type"] != "urn:shop:problem:"+kind {
				t.Errorf("status %d, %v", status, answer)
			}
			if n := s.Count("SELECT count(*) FROM orders"); n != 0 {
				t.Errorf("%d orders", n)
			}
		})
	}
}

// While inventory is unavailable, no order and no answer is stored, so the same request with the
// same key succeeds once it is back.
func TestInventoryIsUnavailable(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.module.stock = shelf(func(context.Context, []string) ([]inventoryapi.Quote, error) {
		return nil, errors.New("inventory answered 502")
	})
	status, header, answer := s.call("ada", "POST", "", twoTeasAndACup, "k")
	if status != http.StatusServiceUnavailable || answer["type"] != "urn:shop:problem:inventory-unavailable" ||
		header.Get("Retry-After") == "" || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %v, %v", status, header, answer)
	}
	if !strings.Contains(s.Logged(), "inventory answered 502") {
		t.Error("the cause is not in the log")
	}
	s.module.stock = teaAndCup
	if status, _, answer := s.call("ada", "POST", "", twoTeasAndACup, "k"); status != http.StatusCreated {
		t.Errorf("afterwards: status %d, %v", status, answer)
	}
}

// A retry does not help when inventory refuses the token.
func TestInventoryRefusesTheToken(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.module.stock = shelf(func(context.Context, []string) ([]inventoryapi.Quote, error) {
		return nil, fmt.Errorf("answered 401: %w", inventoryapi.ErrDenied)
	})
	if status, _, answer := s.call("ada", "POST", "", twoTeasAndACup, "k"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, %v", status, answer)
	}
	if !strings.Contains(s.Logged(), `level=ERROR msg="order not taken: no order will be until SERVICE_TOKEN`) {
		t.Error("the log does not name the setting to change")
	}
}
