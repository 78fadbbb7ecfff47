package saga

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// model is what must be true of a shop after what was done to it. It knows neither events nor
// tables.
type model struct {
	*shop
	run     int
	orders  []*order
	cameIn  map[string]int64 // by sku, with what there was at first
	ordered map[string]int64 // by sku, over all orders
}

// order is what its customer knows, and what they have seen of it.
type order struct {
	id, token, email string
	lines            map[string]int64 // by sku
	total            int64
	placed           time.Time
	cancelled        bool // by its customer, with status 200
	state            string
}

// seen is an order as the shop shows it.
type seen struct{ Status, Reason string }

// product is one as the shop shows it.
type product struct {
	OnHand    int64 `json:"on_hand"`
	Reserved  int64 `json:"reserved"`
	Shipped   int64 `json:"shipped"`
	Initial   int64 `json:"initial"`
	Restocked int64 `json:"restocked"`
}

// later is where the saga may take an order from where it was seen. What is not here is final.
var later = map[string][]string{
	"placed":           {"awaiting_payment", "confirmed", "cancelled out_of_stock", "cancelled declined", "cancelled expired", "cancelled customer"},
	"awaiting_payment": {"confirmed", "cancelled declined", "cancelled expired", "cancelled customer"},
}

// moves fails unless the order may be where it is seen now.
func (o *order) moves(rt *rapid.T, now seen) {
	state := strings.TrimSpace(now.Status + " " + now.Reason)
	if state != o.state && !slices.Contains(later[o.state], state) {
		rt.Fatalf("an order that was %s is %s", o.state, state)
	}
	o.state = state
}

// look compares what is true at every moment: orders move along the saga, and no piece of stock is
// lost or made.
func (m *model) look(rt *rapid.T) {
	for _, o := range m.orders {
		var now seen
		if status := m.call(rt, "customer", "GET", "/v1/orders/"+o.id, "", &now); status != 200 {
			rt.Fatalf("get order: status %d", status)
		}
		o.moves(rt, now)
	}
	for sku := range m.cameIn {
		p := m.product(rt, sku)
		if p.OnHand+p.Reserved+p.Shipped != m.cameIn[sku] || p.Initial+p.Restocked != m.cameIn[sku] || min(p.OnHand, p.Reserved, p.Shipped) < 0 {
			rt.Fatalf("%s: %+v, and %d came in", sku, p, m.cameIn[sku])
		}
	}
}

func (m *model) product(rt *rapid.T, sku string) (p product) {
	if status := m.call(rt, "staff", "GET", "/v1/inventory/products/"+sku, "", &p); status != 200 {
		rt.Fatalf("get product: status %d", status)
	}
	return p
}

// check compares what must be true in the end.
func (m *model) check(rt *rapid.T) {
	m.look(rt)
	shipped, owed := map[string]int64{}, int64(0)
	for _, o := range m.orders {
		m.checkEnd(rt, o)
		m.checkMail(rt, o)
		if o.state == "confirmed" {
			owed += o.total
			for sku, quantity := range o.lines {
				shipped[sku] += quantity
			}
		}
	}
	for sku := range m.cameIn {
		if p := m.product(rt, sku); p.Reserved != 0 || p.Shipped != shipped[sku] {
			rt.Fatalf("%s: %+v, and confirmed orders have %d", sku, p, shipped[sku])
		}
	}
	// The provider's own ledger: each key once, and what it kept is what was confirmed.
	kept, keys := int64(0), map[string]bool{}
	for _, e := range m.provider.Load().Ledger("") {
		if keys[e.Key] {
			rt.Fatalf("the provider did %s twice", e.Key)
		}
		keys[e.Key] = true
		switch {
		case e.Outcome != "approved":
		case e.Kind == "refund":
			kept -= e.Amount
		default:
			kept += e.Amount
		}
	}
	if kept != owed {
		rt.Fatalf("the provider keeps %d for us, and confirmed orders cost %d", kept, owed)
	}
}

// checkEnd asks whether the order may have ended as it did.
func (m *model) checkEnd(rt *rapid.T, o *order) {
	short := false
	for sku := range o.lines {
		short = short || m.ordered[sku] > 4 // more than there was at first; restocking only helps
	}
	reasonable, known := map[string]bool{
		"confirmed":              o.token != "tok_declined" && !o.cancelled,
		"cancelled customer":     o.cancelled,
		"cancelled declined":     o.token == "tok_declined",
		"cancelled expired":      m.now().Sub(o.placed) >= deadline,
		"cancelled out_of_stock": short,
	}[o.state]
	if !known || !reasonable {
		rt.Fatalf("an order of %v with %s, cancelled by its customer: %t, ends as %s",
			o.lines, o.token, o.cancelled, o.state)
	}
	type payment struct {
		Status string
		Amount struct{ Amount int64 }
	}
	var page struct{ Items []payment }
	if status := m.call(rt, "staff", "GET", "/v1/payments?order_id="+o.id, "", &page); status != 200 {
		rt.Fatalf("list payments: status %d", status)
	}
	paid := slices.ContainsFunc(page.Items, func(p payment) bool { return p.Status == "captured" && p.Amount.Amount == o.total })
	if paid != (o.state == "confirmed") {
		rt.Fatalf("an order of %d is %s, and its payments are %+v", o.total, o.state, page.Items)
	}
}

// checkMail expects one mail, by the order's final state.
func (m *model) checkMail(rt *rapid.T, o *order) {
	status, _, _ := strings.Cut(o.state, " ")
	mails := m.mail.Messages(o.email)
	if len(mails) != 1 || !strings.Contains(mails[0].MessageID, o.id+"."+status+"@") {
		rt.Fatalf("an order that is %s got the mails %+v", o.state, mails)
	}
}
