package attacks

import (
	"net"
	"net/http"
	"testing"
	"time"

	"example.com/shop/tools/topology"
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
	before := placing(t, s, "calm")
	hang(t, s, 2048, func(i int) net.IP { return net.IPv4(127, 7, byte(i/200), 7) })
	if under := placing(t, s, "flood"); under > before+2*time.Second {
		t.Errorf("an order took %s, and %s before", under, before)
	}
}

// placing places an order and returns how long that took.
func placing(t *testing.T, s *topology.System, subject string) time.Duration {
	t.Helper()
	start := time.Now()
	status, answer := send(t, http.MethodPost, s.URL+"/v1/orders", token(s, "customer", subject),
		`{"email":"ada@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":1}]}`, "Idempotency-Key: "+subject)
	if status/100 != 2 {
		t.Fatalf("an order: %d %s", status, answer)
	}
	return time.Since(start)
}
