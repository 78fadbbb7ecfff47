package acceptance

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// These types repeat the wire format on purpose, so that a change of it fails here.
type order struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Total  money  `json:"total"`
	Lines  []struct {
		SKU       string `json:"sku"`
		Name      string `json:"name"`
		Quantity  int    `json:"quantity"`
		UnitPrice int64  `json:"unit_price"`
	} `json:"lines"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type placement struct {
	Email        string `json:"email"`
	PaymentToken string `json:"payment_token"`
	Lines        []line `json:"lines"`
}

// customer is a customer with a mailbox of its own.
type customer struct {
	token, email string
}

func newCustomer(t *testing.T) customer {
	t.Helper()
	name := "c" + uuid.NewString()
	return customer{token: token{subject: name, role: "customer"}.mint(), email: name + "@mail.example"}
}

// placing is a request to place an order.
func (c customer) placing(key string, body any) request {
	return request{method: http.MethodPost, path: "/v1/orders", token: c.token, key: key, body: body}
}

func (c customer) place(t *testing.T, paymentToken string, lines ...line) order {
	t.Helper()
	a := c.placing(uuid.NewString(), placement{c.email, paymentToken, lines}).send(t)
	o := decode[order](t, a, http.StatusCreated)
	if got, want := a.header.Get("Location"), "/v1/orders/"+o.ID; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	return o
}

func (c customer) order(t *testing.T, id string) order {
	t.Helper()
	return get[order](t, c.token, "/v1/orders/"+id)
}

func (c customer) cancel(t *testing.T, id string) answer {
	t.Helper()
	return request{method: http.MethodPost, path: "/v1/orders/" + id + "/cancel", token: c.token}.send(t)
}

// settled waits until the order has one of the final statuses.
func (c customer) settled(t *testing.T, id string) order {
	t.Helper()
	return eventually(t, func() (order, bool) {
		o := c.order(t, id)
		return o, o.Status == "confirmed" || o.Status == "cancelled"
	})
}

// alsoSettled check what follows elsewhere from an order that has its final status. The tests of
// the modules that only listen to orders add to them.
var alsoSettled []func(t *testing.T, c customer, o order)

// checkSettled checks all that.
func checkSettled(t *testing.T, c customer, o order) {
	t.Helper()
	for _, check := range alsoSettled {
		check(t, c, o)
	}
}
