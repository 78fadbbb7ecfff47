package notifications

import (
	"strings"
	"testing"
)

func TestMessageID(t *testing.T) {
	t.Parallel()
	const order = "0199a0c1-7f00-7000-8000-000000000001"
	if got, want := messageID(order, kindConfirmed, "orders@shop.example"), order+".confirmed@shop.example"; got != want {
		t.Errorf("messageID = %q, want %q", got, want)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind    string
		content content
		subject string
		shows   []string
	}{
		"confirmed": {
			kind: kindConfirmed, content: content{OrderID: "order-1", Total: price(2598, "EUR")},
			subject: "Your order is confirmed", shows: []string{"order-1", "25.98 EUR"},
		},
		"cancelled": {
			kind: kindCancelled, content: content{OrderID: "order-2", Why: why("declined")},
			subject: "Your order was cancelled", shows: []string{"order-2", "the payment was declined"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			subject, body, err := render(test.kind, test.content)
			if err != nil {
				t.Fatal(err)
			}
			if subject != test.subject {
				t.Errorf("subject %q, want %q", subject, test.subject)
			}
			for _, text := range append(test.shows, "\n") {
				if !strings.Contains(body, text) {
					t.Errorf("body lacks %q:\n%s", text, body)
				}
			}
		})
	}
}

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
