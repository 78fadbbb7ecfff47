package attacks

import (
	"net/http"
	"testing"
	"time"
)

const quotes = "/v1/inventory/quotes"

// What the shop's processes ask of each other is nothing for somebody outside, not even with a
// service's token. Inside the same request is answered.
func TestInternalRoutesAreNotOutside(t *testing.T) {
	s := theShop(t)
	service := token(s, "service", "orders")
	for _, path := range []string{quotes, quotes + "/", "/v1/inventory/%71uotes", "/v1/inventory/../inventory/quotes", "//v1/inventory/quotes"} {
		status, answer := send(t, http.MethodPost, s.URL+path, service, `{"skus":["tea-assam"]}`)
		if status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404: %s", path, status, answer)
		}
	}
	if status, answer := send(t, http.MethodPost, s.InternalURL+quotes, service, `{"skus":["tea-assam"]}`); status != http.StatusOK {
		t.Errorf("a service: %d %s", status, answer)
	}
	if status, _ := send(t, http.MethodPost, s.InternalURL+quotes, token(s, "customer", "ada"), `{"skus":["tea-assam"]}`); status != http.StatusForbidden {
		t.Errorf("a customer inside: %d, want 403", status)
	}
}

// Requests to inventory that never end, and a flood of ones that do, delay no order: its quote does
// not queue with them.
func TestAFloodOutsideStarvesNoQuote(t *testing.T) {
	s := theShop(t)
	placing := func() time.Duration {
		start := time.Now()
		if _, status := place(t, s, "ada", "ada@mail.example", "tok_ok", "tea-assam", 1); status != http.StatusCreated {
			t.Fatal(status)
		}
		return time.Since(start)
	}
	before := placing()
	hang(t, s, 2048, func(i int) int { return 2 + i/200 })
	if under := placing(); under > before+2*time.Second {
		t.Errorf("an order took %s, and %s before", under, before)
	}
}
