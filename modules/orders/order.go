package orders

import (
	"errors"
	"math/bits"
)

// status is where an order stands in the saga:
//
//	      POST                reserved              captured
//	(new) ─────▶ placed ───────────────▶ awaiting_payment ─────────▶ confirmed
//	               │ rejected                │ declined
//	               │ expired, customer       │ expired, customer
//	               ▼                         ▼
//	           cancelled ◀───────────────────┘
//
// Confirmed and cancelled are final. Of two racing moves the first to commit wins, and the other
// finds no order to move.
type status string

const (
	placed          status = "placed"
	awaitingPayment status = "awaiting_payment"
	confirmed       status = "confirmed"
	cancelled       status = "cancelled"
)

// move is one arrow of the saga, with the reason that a cancellation gives to customers and
// modules. An event that arrives in any other state is late or a duplicate, and moves nothing.
type move struct {
	from   []status
	to     status
	reason string
}

var (
	reserve = move{from: []status{placed}, to: awaitingPayment}
	reject  = move{from: []status{placed}, to: cancelled, reason: "out_of_stock"}
	capture = move{from: []status{awaitingPayment}, to: confirmed}
	decline = move{from: []status{awaitingPayment}, to: cancelled, reason: "declined"}
	expire  = move{from: []status{placed, awaitingPayment}, to: cancelled, reason: "expired"}
	cancel  = move{from: []status{placed, awaitingPayment}, to: cancelled, reason: "customer"}
)

// final reports whether no move starts here: such an order has no deadline.
func (s status) final() bool { return s == confirmed || s == cancelled }

// Errors that http.go maps to problem responses.
var (
	errUnknownSKU      = errors.New("a product does not exist")
	errMixedCurrencies = errors.New("the products have different currencies")
	errTotalTooLarge   = errors.New("the total is too large")
	errNothingToPay    = errors.New("the total is zero")
	errNoQuote         = errors.New("inventory gives no quote")
	errNotFound        = errors.New("the order does not exist")
	errConfirmed       = errors.New("the order is confirmed")
	errOpenOrders      = errors.New("the customer has open orders")
)

// pricedLine is a line with the name and the price, in minor units, that inventory quoted.
type pricedLine struct {
	sku       string
	name      string
	quantity  int32
	unitPrice int64
	currency  string
}

// total adds up the lines in the one currency that they share. It refuses a total of zero, which no
// provider captures: such an order could never be confirmed.
func total(lines []pricedLine) (amount int64, currency string, err error) {
	for _, l := range lines {
		if currency != "" && l.currency != currency {
			return 0, "", errMixedCurrencies
		}
		currency = l.currency
		high, cost := bits.Mul64(uint64(l.quantity), uint64(l.unitPrice))
		sum, carry := bits.Add64(uint64(amount), cost, 0)
		if high != 0 || carry != 0 || int64(sum) < 0 {
			return 0, "", errTotalTooLarge
		}
		amount = int64(sum)
	}
	if amount == 0 {
		return 0, "", errNothingToPay
	}
	return amount, currency, nil
}
