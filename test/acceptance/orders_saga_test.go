package acceptance

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Each test that checks stock has a product of its own, so that all can run at once.

func TestAnOrderIsConfirmed(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	before := stockOf(t, "tea-assam")
	placed := c.place(t, "tok_ok", line{"tea-assam", 2})
	if placed.Status != "placed" || placed.Total != (money{2 * before.Price.Amount, "EUR"}) {
		t.Errorf("placed: %+v", placed)
	}
	if len(placed.Lines) != 1 || placed.Lines[0].Name != before.Name || placed.Lines[0].UnitPrice != before.Price.Amount {
		t.Errorf("lines: %+v", placed.Lines)
	}

	o := c.settled(t, placed.ID)
	if o.Status != "confirmed" || o.Total != placed.Total {
		t.Errorf("settled: %+v", o)
	}
	if p := paid(t, o.ID, "captured"); p.Amount != o.Total {
		t.Errorf("paid %+v, want %+v", p.Amount, o.Total)
	}
	checkSettled(t, c, o)
	after := eventually(t, func() (product, bool) {
		p := stockOf(t, "tea-assam")
		return p, p.Shipped == before.Shipped+2
	})
	if after.OnHand != before.OnHand-2 || after.Reserved != before.Reserved {
		t.Errorf("stock before %+v, after %+v", before, after)
	}
}

func TestAnOrderIsCancelled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sku      string
		token    string
		quantity int
		reason   string
		payment  string // "" if there is none
	}{
		"the card is declined":             {"tea-darjeeling", "tok_declined", 2, "declined", "declined"},
		"there is not enough":              {"tea-gyokuro", "tok_ok", 4, "out_of_stock", ""},
		"no answer in time, refunded late": {"coffee-yirga", "tok_slow", 3, "expired", "refunded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCustomer(t)
			before := stockOf(t, test.sku)
			o := c.settled(t, c.place(t, test.token, line{test.sku, test.quantity}).ID)
			if o.Status != "cancelled" || o.Reason != test.reason {
				t.Errorf("settled: %+v", o)
			}
			checkSettled(t, c, o)
			eventually(t, func() (product, bool) {
				p := stockOf(t, test.sku)
				return p, p == before
			})
			if test.payment != "" {
				paid(t, o.ID, test.payment)
			}
			if again := c.order(t, o.ID); again.Status != "cancelled" {
				t.Errorf("it did not stay cancelled: %+v", again)
			}
		})
	}
}

// A customer whom staff has erased has no order any more. The payment stays, for the books.
func TestACustomerIsErased(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	subject, _, _ := strings.Cut(c.email, "@")
	o := c.settled(t, c.place(t, "tok_ok", line{"tea-genmaicha", 1}).ID)
	erase := request{method: http.MethodPost, path: "/v1/orders/erasures", token: staff(), body: map[string]string{"customer_id": subject}}
	for _, want := range []int{1, 0} {
		erased := decode[struct {
			Erased int `json:"erased"`
		}](t, erase.send(t), http.StatusOK)
		if erased.Erased != want {
			t.Errorf("%d orders are erased, want %d", erased.Erased, want)
		}
	}
	checkProblem(t, request{method: http.MethodGet, path: "/v1/orders/" + o.ID, token: c.token}.send(t), http.StatusNotFound, "order-not-found")
	paid(t, o.ID, "captured")
}

// The provider captures the money and loses the answer, or fails first; payments finds out.
func TestAnUnreliableProvider(t *testing.T) {
	t.Parallel()
	for _, paymentToken := range []string{"tok_timeout", "tok_flaky"} {
		t.Run(paymentToken, func(t *testing.T) {
			t.Parallel()
			c := newCustomer(t)
			o := c.settled(t, c.place(t, paymentToken, line{"tea-jasmine", 1}).ID)
			if o.Status != "confirmed" {
				t.Errorf("settled: %+v", o)
			}
			paid(t, o.ID, "captured")
			checkSettled(t, c, o)
		})
	}
}

func TestTheCustomerCancels(t *testing.T) {
	t.Parallel()
	t.Run("while payment is awaited", func(t *testing.T) {
		t.Parallel()
		c := newCustomer(t)
		before := stockOf(t, "coffee-huila")
		o := c.place(t, "tok_slow", line{"coffee-huila", 4})
		eventually(t, func() (order, bool) {
			o := c.order(t, o.ID)
			return o, o.Status == "awaiting_payment"
		})
		cancelled := decode[order](t, c.cancel(t, o.ID), http.StatusOK)
		if cancelled.Status != "cancelled" || cancelled.Reason != "customer" {
			t.Errorf("cancelled: %+v", cancelled)
		}
		again := decode[order](t, c.cancel(t, o.ID), http.StatusOK)
		if again.Status != "cancelled" {
			t.Errorf("cancelled twice: %+v", again)
		}
		eventually(t, func() (string, bool) { return moneyKept(t, o.ID) }) // a late refund
		checkSettled(t, c, again)
		eventually(t, func() (product, bool) {
			p := stockOf(t, "coffee-huila")
			return p, p == before
		})
	})
	t.Run("at any moment", func(t *testing.T) {
		t.Parallel()
		before := stockOf(t, "cup-celadon")
		var mu sync.Mutex
		confirmed := int64(0)
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				c := newCustomer(t) // of their own: one who asks all this would be throttled
				o := c.place(t, "tok_ok", line{"cup-celadon", 1})
				// From at once to after the confirmation.
				for range i {
					if c.order(t, o.ID).Status == "confirmed" {
						break
					}
				}
				a := c.cancel(t, o.ID)
				final := c.settled(t, o.ID)
				switch {
				case a.status == http.StatusOK && final.Status == "cancelled":
					eventually(t, func() (string, bool) { return moneyKept(t, o.ID) })
				case a.status == http.StatusConflict && final.Status == "confirmed":
					mu.Lock()
					confirmed++
					mu.Unlock()
				default:
					t.Errorf("cancel answered %d, and the order is %s", a.status, final.Status)
				}
			})
		}
		all.Wait()
		eventually(t, func() (product, bool) {
			p := stockOf(t, "cup-celadon")
			return p, p.Reserved == 0 && p.Shipped == before.Shipped+confirmed && p.OnHand == before.OnHand-confirmed
		})
		t.Logf("%d of 40 were confirmed before the customer cancelled", confirmed)
	})
}
