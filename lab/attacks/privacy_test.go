package attacks

import (
	"net/http"
	"testing"
)

// A customer sees no order of another's, and a role that is not staff no payments.
func TestWhatIsAnothersIsNotThere(t *testing.T) {
	s := theShop(t)
	id := confirms(t, s, "ada")
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
