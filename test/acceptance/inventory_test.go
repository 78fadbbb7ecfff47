package acceptance

import (
	"net/http"
	"testing"
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

// Quotes are for the shop's own processes: outside there is no such route, whoever asks.
func TestQuotesAreInternal(t *testing.T) {
	t.Parallel()
	quotes := request{method: http.MethodPost, path: "/v1/inventory/quotes", token: token{subject: "orders", role: "service"}.mint(), body: "{}"}
	checkProblem(t, quotes.send(t), http.StatusNotFound, "no-such-route")
	if quotes.base = system.internal; quotes.base == "" {
		t.Skip("SEAM_INTERNAL_URL names no address")
	}
	quotes.body = `{"skus":["tea-assam"]}`
	if answer := quotes.send(t); answer.status != http.StatusOK {
		t.Errorf("a service gets %d: %s", answer.status, answer.body)
	}
	quotes.path, quotes.method = "/v1/inventory/products", http.MethodGet
	checkProblem(t, quotes.send(t), http.StatusNotFound, "no-such-route")
}
