package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/web"
)

// call sends a request with a token of the role.
func (s *shop) call(role, method, path, body, key string) moduletest.Answer {
	s.t.Helper()
	return s.Call(moduletest.Request{Method: method, Path: path, Body: body, Role: role, Key: key})
}

func TestProductPages(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var skus []string
	for _, p := range moduletest.All[productJSON](s.Stage, moduletest.Request{Path: "/products?limit=5"}) {
		skus = append(skus, p.SKU)
	}
	want := []string{"coffee-huila", "coffee-yirga", "cup-celadon", "honey-linden", "kettle-gooseneck", "mug-speckled",
		"strainer-steel", "tea-assam", "tea-darjeeling", "tea-genmaicha", "tea-gyokuro", "tea-jasmine"}
	if diff := cmp.Diff(want, skus); diff != "" {
		t.Error(diff)
	}
}

// A product shows all its counts, and a restock with the same key counts once.
func TestRestock(t *testing.T) {
	t.Parallel()
	s := setup(t)
	shipped := uuid.NewString()
	s.Given(placed(shipped, ordersapi.Line{SKU: "tea-gyokuro", Quantity: 2}), ordersapi.Confirmed{OrderID: shipped, Version: 3},
		placed(uuid.NewString(), ordersapi.Line{SKU: "tea-gyokuro", Quantity: 1}))
	first := s.call("staff", "POST", "/products/tea-gyokuro/restock", `{"quantity":10}`, "monday")
	again := s.call("staff", "POST", "/products/tea-gyokuro/restock", `{"quantity":10}`, "monday")
	if first.Status != http.StatusOK || !bytes.Equal(first.Body, again.Body) {
		t.Errorf("status %d: %s, and again %s", first.Status, first.Body, again.Body)
	}
	audited := s.Texts("SELECT concat_ws(' ', who, what, client, request_id) FROM audit")
	line := "staff:ada POST /v1/inventory/products/tea-gyokuro/restock 127.0.0.1 " + first.Header.Get("X-Request-Id")
	if diff := cmp.Diff([]string{line}, audited); diff != "" { // the repetition has changed nothing
		t.Error(diff)
	}
	var got productJSON
	s.call("", "GET", "/products/tea-gyokuro", "", "").JSON(&got)
	want := productJSON{
		SKU: "tea-gyokuro", Name: "Gyokuro, the last of harvest", Price: inventoryapi.Money{Amount: 4200, Currency: "EUR"},
		OnHand: 10, Reserved: 1, Shipped: 2, Initial: 3, Restocked: 10,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const restock, one = "/products/tea-assam/restock", `{"quantity":1}`
	s.call("staff", "POST", restock, one, "used")
	for name, test := range map[string]struct {
		role, method, path, body, key string
		status                        int
	}{
		"unknown product":         {"", "GET", "/products/no-such-tea", "", "", 404},
		"made-up cursor":          {"", "GET", "/products?cursor=tomorrow", "", "", 400},
		"cursor with a NUL":       {"", "GET", "/products?cursor=" + web.EncodeCursor(position{SKU: "tea\x00"}), "", "", 400},
		"page too large":          {"", "GET", "/products?limit=101", "", "", 422},
		"restock without a token": {"", "POST", restock, one, "k1", 401},
		"restock by a customer":   {"customer", "POST", restock, one, "k2", 403},
		"restock by a service":    {"service", "POST", restock, one, "k3", 403},
		"restock without a key":   {"staff", "POST", restock, one, "", 400},
		"restock with a used key": {"staff", "POST", restock, `{"quantity":2}`, "used", 422},
		"restock nothing":         {"staff", "POST", restock, `{"quantity":0}`, "k4", 422},
		"restock too much":        {"staff", "POST", restock, `{"quantity":1000001}`, "k5", 422},
		"restock unknown product": {"staff", "POST", "/products/no-such-tea/restock", one, "k6", 404},
		"quote for a customer":    {"customer", "POST", "/quotes", `{"skus":["tea-assam"]}`, "", 403},
		"quote for staff":         {"staff", "POST", "/quotes", `{"skus":["tea-assam"]}`, "", 403},
		"quote of nothing":        {"service", "POST", "/quotes", `{"skus":[]}`, "", 422},
		"quote of too many":       {"service", "POST", "/quotes", `{"skus":[""` + strings.Repeat(`,""`, 100) + `]}`, "", 422},
	} {
		if answer := s.call(test.role, test.method, test.path, test.body, test.key); answer.Status != test.status {
			t.Errorf("%s: status %d, want %d: %s", name, answer.Status, test.status, answer.Body)
		}
	}
	if got, want := s.tea(), [3]int64{1001, 0, 0}; got != want {
		t.Errorf("on hand, reserved, shipped: %v, want %v", got, want)
	}
}

// asService is the transport that a process gives the client: here it only adds the token.
type asService struct{ s *shop }

func (a asService) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+a.s.Key.Mint(tokens.Claims{Subject: "orders", Role: "service"}))
	return http.DefaultTransport.RoundTrip(request)
}

func TestQuoteIsTheSameInProcessAndOverHTTP(t *testing.T) {
	t.Parallel()
	s := setup(t)
	want := []inventoryapi.Quote{
		{SKU: "cup-celadon", Name: "Celadon tea cup", Price: inventoryapi.Money{Amount: 1800, Currency: "EUR"}},
		{SKU: "tea-assam", Name: "Assam black tea, 250 g", Price: inventoryapi.Money{Amount: 1299, Currency: "EUR"}},
	}
	skus := []string{"tea-assam", "no-such-tea", "No SKU at all", "cup-celadon", "tea-assam"}
	near, err := s.module.Quote(t.Context(), skus)
	if err != nil {
		t.Fatal(err)
	}
	far, err := inventoryapi.NewClient(s.Server.URL, asService{s}).Quote(t.Context(), skus)
	if err != nil {
		t.Fatal(err)
	}
	for where, got := range map[string][]inventoryapi.Quote{"in process": near, "over HTTP": far} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", where, diff)
		}
	}
	if _, err := inventoryapi.NewClient(s.Server.URL, http.DefaultTransport).Quote(t.Context(), skus); !errors.Is(err, inventoryapi.ErrDenied) {
		t.Errorf("a client without a token got %v", err)
	}
}

// The client follows no redirect: the service's token is for one address.
func TestClientFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the other address was asked")
		fmt.Fprint(w, `{"items":[]}`)
	}))
	t.Cleanup(elsewhere.Close)
	inventory := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/quotes", http.StatusTemporaryRedirect))
	t.Cleanup(inventory.Close)
	if _, err := inventoryapi.NewClient(inventory.URL, http.DefaultTransport).Quote(t.Context(), []string{"tea-assam"}); err == nil {
		t.Error("a redirect is an answer")
	}
}
