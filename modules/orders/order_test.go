package orders

import (
	"errors"
	"math"
	"testing"
)

func TestMoves(t *testing.T) {
	t.Parallel()
	all := []status{placed, awaitingPayment, confirmed, cancelled}
	tests := []struct {
		name string
		move move
		from map[status]bool
		to   status
	}{
		{"stock is reserved", reserve, map[status]bool{placed: true}, awaitingPayment},
		{"stock is rejected", reject, map[status]bool{placed: true}, cancelled},
		{"payment is captured", capture, map[status]bool{awaitingPayment: true}, confirmed},
		{"payment is declined", decline, map[status]bool{awaitingPayment: true}, cancelled},
		{"deadline passes", expire, map[status]bool{placed: true, awaitingPayment: true}, cancelled},
		{"customer cancels", cancel, map[status]bool{placed: true, awaitingPayment: true}, cancelled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range all {
				if got := test.move.applies(s); got != test.from[s] {
					t.Errorf("applies to %s: got %v, want %v", s, got, test.from[s])
				}
				if s.final() && test.move.applies(s) {
					t.Errorf("moves an order out of the final %s", s)
				}
			}
			if test.move.to != test.to {
				t.Errorf("leads to %s, want %s", test.move.to, test.to)
			}
			if (test.move.reason == "") == (test.to == cancelled) {
				t.Errorf("reason %q: a cancellation has one and nothing else does", test.move.reason)
			}
		})
	}
}

func TestTotal(t *testing.T) {
	t.Parallel()
	eur := func(quantity int32, price int64) pricedLine {
		return pricedLine{sku: "x", quantity: quantity, unitPrice: price, currency: "EUR"}
	}
	usd := pricedLine{sku: "y", quantity: 1, unitPrice: 1, currency: "USD"}
	tests := []struct {
		name   string
		lines  []pricedLine
		amount int64
		err    error
	}{
		{"one line", []pricedLine{eur(2, 1299)}, 2598, nil},
		{"several lines", []pricedLine{eur(2, 1299), eur(1, 5)}, 2603, nil},
		{"one line is free", []pricedLine{eur(3, 0), eur(1, 5)}, 5, nil},
		{"all is free", []pricedLine{eur(3, 0), eur(1, 0)}, 0, errNothingToPay},
		{"the largest", []pricedLine{eur(1, math.MaxInt64)}, math.MaxInt64, nil},
		{"two currencies", []pricedLine{eur(1, 1), usd}, 0, errMixedCurrencies},
		{"one cent too many", []pricedLine{eur(1, math.MaxInt64), eur(1, 1)}, 0, errTotalTooLarge},
		{"a line too large", []pricedLine{eur(math.MaxInt32, math.MaxInt64)}, 0, errTotalTooLarge},
		{"wraps around to positive", []pricedLine{eur(4, math.MaxInt64/2+1), eur(1, 7)}, 0, errTotalTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			amount, currency, err := total(test.lines)
			if !errors.Is(err, test.err) || amount != test.amount {
				t.Fatalf("got %d, %v; want %d, %v", amount, err, test.amount, test.err)
			}
			if err == nil && currency != "EUR" {
				t.Errorf("currency %q", currency)
			}
		})
	}
}
