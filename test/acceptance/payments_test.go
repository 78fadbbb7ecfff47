package acceptance

import (
	"testing"
)

// It repeats the wire format on purpose, so that a change of it fails here.
type payment struct {
	ID      string `json:"id"`
	OrderID string `json:"order_id"`
	Status  string `json:"status"`
	Amount  money  `json:"amount"`
}

// paid waits until the order's payment has the status.
func paid(t *testing.T, id, status string) payment {
	t.Helper()
	return eventually(t, func() (payment, bool) {
		p := get[page[payment]](t, staff(), "/v1/payments?order_id="+id)
		if len(p.Items) != 1 {
			return payment{}, false
		}
		return p.Items[0], p.Items[0].Status == status
	})
}

// moneyKept reports whether the cancelled order's payment holds no money.
func moneyKept(t *testing.T, orderID string) (string, bool) {
	t.Helper()
	items := get[page[payment]](t, staff(), "/v1/payments?order_id="+orderID).Items
	if len(items) == 0 {
		return "none", true
	}
	s := items[0].Status
	return s, s == "cancelled" || s == "refunded" || s == "declined"
}
