package web

import "testing"

func TestProductionRefusesDevelopmentsIssuer(t *testing.T) {
	t.Parallel()
	for issuer, safe := range map[string]bool{"https://dev.shop.example": false, "https://id.example": true} {
		if unsafe := (Auth{Issuer: issuer}).Unsafe(); (len(unsafe) == 0) != safe {
			t.Errorf("%s: got %q", issuer, unsafe)
		}
	}
}
