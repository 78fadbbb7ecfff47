package acceptance

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// It repeats the wire format on purpose, so that a change of it fails here.
type product struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Price     money  `json:"price"`
	Initial   int64  `json:"initial"`
	Restocked int64  `json:"restocked"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Shipped   int64  `json:"shipped"`
}

func stockOf(t *testing.T, sku string) product {
	t.Helper()
	return get[product](t, "", "/v1/inventory/products/"+sku)
}

func TestRestock(t *testing.T) {
	t.Parallel()
	before := stockOf(t, "mug-speckled")
	key := uuid.NewString()
	for range 3 { // one key, one restock
		a := request{
			method: http.MethodPost, path: "/v1/inventory/products/mug-speckled/restock", token: staff(), key: key,
			body: map[string]int{"quantity": 7},
		}.send(t)
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if after := stockOf(t, "mug-speckled"); after.OnHand != before.OnHand+7 || after.Restocked != before.Restocked+7 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestProductsThatAreNotThere(t *testing.T) {
	t.Parallel()
	checkProblems(t, map[string]refused{
		"unknown product": {request{method: http.MethodGet, path: "/v1/inventory/products/" + secret}, http.StatusNotFound, "product-not-found"},
		"restock of an unknown sku": {request{method: http.MethodPost, path: "/v1/inventory/products/" + secret + "/restock", token: staff(), key: "k", body: map[string]int{"quantity": 1}},
			http.StatusNotFound, "product-not-found"},
	})
}

// Quotes are for the shop's own processes: outside there is no such route, whoever asks.
func TestQuotesAreInternal(t *testing.T) {
	t.Parallel()
	quotes := request{method: http.MethodPost, path: "/v1/inventory/quotes", token: token{subject: "orders", role: "service"}.mint(), body: "{}"}
	checkProblem(t, quotes.send(t), http.StatusNotFound, "no-such-route")
	if quotes.base = system.internal; quotes.base == "" {
		t.Skip("SEAM_INTERNAL_URL names no address")
	}
	checkRoles(t, map[string]allowed{"quotes": {quotes, "service"}})
	quotes.body = `{"skus":["tea-assam"]}`
	if answer := quotes.send(t); answer.status != http.StatusOK {
		t.Errorf("a service gets %d: %s", answer.status, answer.body)
	}
	quotes.path, quotes.method = "/v1/inventory/products", http.MethodGet
	checkProblem(t, quotes.send(t), http.StatusNotFound, "no-such-route")
}

func TestWhoMayCallInventory(t *testing.T) {
	t.Parallel()
	checkRoles(t, map[string]allowed{
		"restock": {request{method: http.MethodPost, path: "/v1/inventory/products/x/restock", key: uuid.NewString(), body: "{}"}, "staff"},
	})
	t.Run("products are public", func(t *testing.T) {
		t.Parallel()
		if p := get[page[product]](t, "", "/v1/inventory/products"); len(p.Items) == 0 {
			t.Error("no products")
		}
	})
}
