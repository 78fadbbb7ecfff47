package payments

import (
	"errors"
	"testing"
)

// The whole table, so that an arrow added by mistake fails as surely as one that is missing.
func TestStatusAfter(t *testing.T) {
	t.Parallel()
	want := map[status]map[trigger]status{
		pending: {
			captureApproved: captured, captureRefused: declined, cancelInTime: cancelled, cancelLate: cancelling,
		},
		cancelling: {captureApproved: refunding, captureRefused: cancelled, captureUnknown: cancelled},
		captured:   {cancelLate: refunding},
		refunding:  {refundApproved: refunded},
	}
	for _, from := range []status{tombstone, pending, cancelling, captured, declined, cancelled, refunding, refunded} {
		for _, n := range []trigger{captureApproved, captureRefused, captureUnknown, cancelInTime, cancelLate, refundApproved} {
			to, moves := want[from][n]
			if !moves {
				to = from
			}
			if got := from.after(n); got != to {
				t.Errorf("%s, %s: became %s, want %s", from, n, got, to)
			}
		}
	}
}

func TestCheckDue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		amount money
		token  string
		want   error
	}{
		"an amount":        {money{2598, "EUR"}, "tok_ok", nil},
		"nothing to pay":   {money{0, "EUR"}, "tok_ok", nil},
		"a negative one":   {money{-1, "EUR"}, "tok_ok", errBadAmount},
		"without currency": {money{2598, ""}, "tok_ok", errBadAmount},
		"without token":    {money{2598, "EUR"}, "", errNoToken},
	} {
		if got := checkDue(test.amount, test.token); !errors.Is(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
