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
	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/idempotency"
)

const twoTeasAndACup = `{"email":"ada@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea","quantity":2},{"sku":"cup","quantity":1}]}`

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

// paid is the capture of the whole amount of such an order.
func paid(order string) paymentsapi.Captured {
	return paymentsapi.Captured{OrderID: order, Amount: paymentsapi.Money{Amount: 4398, Currency: "EUR"}}
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

	// A repetition needs no quote.
	s.module.stock = shelf(func(context.Context, []string) ([]inventoryapi.Quote, error) { return nil, errors.New("down") })
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
	published := []string{"orders.placed.v1", "orders.cancelled.v1"}
	if diff := cmp.Diff(published, s.Published(path[1:])); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestListIsPaged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var want, got []string
	for range 3 {
		want = append([]string{s.order().String()}, want...) // newest first
	}
	page := moduletest.Request{Path: "?limit=2", Role: "customer"}
	for _, order := range moduletest.All[orderJSON](s.Stage, page) {
		got = append(got, order.ID)
		if len(order.Lines) != 2 {
			t.Errorf("%d lines", len(order.Lines))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	page.Subject = "eve"
	if orders := moduletest.All[orderJSON](s.Stage, page); len(orders) != 0 {
		t.Errorf("eve sees %v", orders)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := setup(t)
	adas, confirmed := "/"+s.order().String(), s.order()
	s.Given(inventoryapi.Reserved{OrderID: confirmed.String()}, paid(confirmed.String()))
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
		"place without line": {"ada", "POST", "", `{"email":"ada@mail.example","payment_token":"tok_ok","lines":[]}`, "k", 422, "validation-failed"},
		"list with a lie":    {"ada", "GET", "?cursor=tomorrow", "", "", 400, "invalid-cursor"},
		"list too much":      {"ada", "GET", "?limit=101", "", "", 422, "validation-failed"},
	} {
		status, _, answer := s.call(test.customer, test.method, test.path, test.body, test.key)
		if status != test.status || answer["type"] != "urn:shop:problem:"+test.kind {
			t.Errorf("%s: status %d, %v; want %d %s", name, status, answer, test.status, test.kind)
		}
	}
	for _, role := range []string{"staff", "service"} {
		for path, method := range map[string]string{"": "GET", adas: "GET", adas + "/cancel": "POST", "?": "POST"} {
			r := moduletest.Request{Method: method, Path: path, Role: role, Body: twoTeasAndACup, Key: "k"}
			if answer := s.Call(r); answer.Status != http.StatusForbidden {
				t.Errorf("%s %s as %s: status %d", method, path, role, answer.Status)
			}
		}
	}
	if got := s.status(uuid.MustParse(adas[1:])); got != "placed" {
		t.Errorf("after all that: %s", got)
	}
	// Another customer's request does not wait for the order's lock.
	s.Hold("SELECT FROM orders FOR UPDATE")
	if status, _, answer := s.call("eve", "POST", adas+"/cancel", "", ""); status != http.StatusNotFound {
		t.Errorf("cancel another's that is being moved: status %d, %v", status, answer)
	}
}

func TestMailAddresses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	long := strings.Repeat("a", 64)
	for status, addresses := range map[int][]string{
		201: {"ada@mail.example", "o'hara+tea@sub.x.example", "łukasz@żółw.example", long + "@x.example", "a@" + long[1:] + ".example"},
		422: {
			"Ada <a@x.example>", "<a@x.example>", "g: a@x.example;", "a@x.example (Ada)", "(c)a@x.example", " a@x.example",
			"a@x.example ", "a@x.example, b@x.example", `\"a\"@x.example`, `a\u2028b@x.example`, `a\u200bb@x.example`,
			`a@x\u200b.example`, `a\tb@x.example`, `\"a\tb\"@x.example`, `a@x.example\n`, `a@x.example\r\nDATA`,
			`a\u00a0@x.example`, "a@[127.0.0.1]", "a@-x.example", "a@x_y.example", "a@x!y", "a..b@x.example", "a@x.", "a@@x",
			"@x", "a@", "", "a" + long + "@x.example", strings.Repeat("ł", 33) + "@x.example", "a@a" + long[1:] + "b.example",
			"a@" + strings.Repeat("ł.", 84) + "example", // 254 characters at most is not 254 bytes
		},
		400: {"a\xff@x.example", `a\ud800@x.example`},
	} {
		for _, address := range addresses {
			body := fmt.Sprintf(`{"email":"%s","payment_token":"tok_ok","lines":[{"sku":"tea","quantity":1}]}`, address)
			if got, _, answer := s.call("ada", "POST", "", body, uuid.NewString()); got != status {
				t.Errorf("%q: %d %v, want %d", address, got, answer, status)
			}
		}
	}
}

// A placement that cannot be priced stores neither an order nor an answer, so the same request with
// the same key succeeds once it can be.
func TestPlacementsThatCannotBePriced(t *testing.T) {
	t.Parallel()
	s := setup(t)
	priced := func(tea, cup int64, currency string) shelf {
		return quoting(inventoryapi.Quote{SKU: "tea", Price: eur(tea)},
			inventoryapi.Quote{SKU: "cup", Price: inventoryapi.Money{Amount: cup, Currency: currency}})
	}
	failing := func(err error) shelf {
		return func(context.Context, []string) ([]inventoryapi.Quote, error) { return nil, err }
	}
	for n, test := range []struct {
		kind       string
		stock      shelf
		retryAfter string
		logged     string
	}{
		{kind: "unknown-sku", stock: quoting(inventoryapi.Quote{SKU: "tea", Price: eur(1)})},
		{kind: "mixed-currencies", stock: priced(1, 1, "USD")},
		{kind: "total-too-large", stock: priced(math.MaxInt64/2, math.MaxInt64/2, "EUR")},
		{kind: "nothing-to-pay", stock: priced(0, 0, "EUR")},
		{"inventory-unavailable", failing(errors.New("inventory answered 502")), "2", "inventory answered 502"},
		// A retry does not help when inventory refuses the token: the log names the setting.
		{"inventory-unavailable", failing(fmt.Errorf("answered 401: %w", inventoryapi.ErrDenied)), "2",
			`level=ERROR msg="order not taken: no order will be until SERVICE_TOKEN`},
	} {
		want := http.StatusUnprocessableEntity
		if test.retryAfter != "" {
			want = http.StatusServiceUnavailable
		}
		s.module.stock = test.stock
		status, header, answer := s.call("ada", "POST", "", twoTeasAndACup, fmt.Sprint("key ", n))
		if status != want || answer["type"] != "urn:shop:problem:"+test.kind || header.Get("Retry-After") != test.retryAfter {
			t.Errorf("%s: status %d, %v, %v", test.kind, status, header, answer)
		}
		if !strings.Contains(s.Logged(), test.logged) {
			t.Errorf("the log does not say %q", test.logged)
		}
		s.module.stock = teaAndCup
		s.call("ada", "POST", "", twoTeasAndACup, fmt.Sprint("key ", n))
		if orders := s.Count("SELECT count(*) FROM orders"); orders != int64(n)+1 {
			t.Errorf("%s, and then it can be priced: %d orders, want %d", test.kind, orders, n+1)
		}
	}
}

// A client that is gone is no failure of inventory.
func TestTheCallerLeavesBeforeTheQuote(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx, leave := context.WithCancel(t.Context())
	s.module.stock = shelf(func(context.Context, []string) ([]inventoryapi.Quote, error) {
		leave()
		return nil, errors.New("the circuit is open")
	})
	_, err := s.module.place(ctx, idempotency.NewKey("ada", "POST /v1/orders", "k", nil), placement{})
	if errors.Is(err, errNoQuote) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
