package attacks

import (
	"net/http"
	"testing"
)

// A customer sees no order of another's, and a role that is not staff no payments.
func TestWhatIsAnothersIsNotThere(t *testing.T) {
	s := theShop(t)
	body := `{"email":"ada@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":1}]}`
	status, answer := send(t, http.MethodPost, s.URL+"/v1/orders", token(s, "customer", "ada"), body, "Idempotency-Key: privacy")
	if status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	id := field(t, answer, "id")
	for who, want := range map[[2]string]int{
		{"customer", "ada"}: http.StatusOK,
		{"customer", "eve"}: http.StatusNotFound,
	} {
		if status, answer := send(t, http.MethodGet, s.URL+"/v1/orders/"+id, token(s, who[0], who[1]), ""); status != want {
			t.Errorf("%s gets %d, want %d: %s", who, status, want, answer)
		}
	}
	for role, want := range map[string]int{"customer": http.StatusForbidden, "staff": http.StatusOK} {
		if status, answer := send(t, http.MethodGet, s.URL+"/v1/payments?order_id="+id, token(s, role, "ada"), ""); status != want {
			t.Errorf("%s gets %d, want %d: %s", role, status, want, answer)
		}
	}
}
