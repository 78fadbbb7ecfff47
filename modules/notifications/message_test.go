package notifications

import "testing"

func TestWhyKnowsEveryReason(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, reason := range []string{"out_of_stock", "declined", "expired", "customer", "a reason from the future"} {
		words := why(reason)
		if other, double := seen[words]; double || words == "" {
			t.Errorf("why(%q) = %q, which is also said of %q", reason, words, other)
		}
		seen[words] = reason
	}
}

func TestPrice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		amount         int64
		currency, want string
	}{
		{2598, "EUR", "25.98 EUR"},
		{5, "EUR", "0.05 EUR"},
		{0, "EUR", "0.00 EUR"},
		{100000, "EUR", "1000.00 EUR"},
		{1299, "JPY", "1299 JPY"},
		{0, "KRW", "0 KRW"},
		{1299, "KWD", "1.299 KWD"},
		{5, "TND", "0.005 TND"},
		{1299, "CLF", "0.1299 CLF"},
		// Two in ISO 4217, none in CLDR.
		{1299, "RSD", "12.99 RSD"},
		{129900, "IDR", "1299.00 IDR"},
		{1299, "IQD", "1.299 IQD"},
	} {
		if got := price(test.amount, test.currency); got != test.want {
			t.Errorf("price(%d, %s) = %q, want %q", test.amount, test.currency, got, test.want)
		}
	}
}
