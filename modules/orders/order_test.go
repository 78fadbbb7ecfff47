package orders

import (
	"errors"
	"math"
	"testing"
)

func TestTotal(t *testing.T) {
	t.Parallel()
	eur := func(quantity int32, price int64) pricedLine {
		return pricedLine{sku: "x", quantity: quantity, unitPrice: price, currency: "EUR"}
	}
	usd := pricedLine{sku: "y", quantity: 1, unitPrice: 1, currency: "USD"}
	for _, test := range []struct {
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
	} {
		amount, currency, err := total(test.lines)
		if !errors.Is(err, test.err) || amount != test.amount || err == nil && currency != "EUR" {
			t.Errorf("%s: got %d %s, %v; want %d, %v", test.name, amount, currency, err, test.amount, test.err)
		}
	}
}
