package payments

import (
	"errors"
	"testing"
)

var (
	allStatuses = []status{tombstone, pending, cancelling, captured, declined, cancelled, refunding, refunded}
	triggers    = []trigger{captureApproved, captureRefused, captureUnknown, cancelInTime, cancelLate, refundApproved}
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
	for _, from := range allStatuses {
		for _, n := range triggers {
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

// In any order of triggers, each any number of times, money that was taken is captured or refunded.
func TestTakenMoneyIsNeverForgotten(t *testing.T) {
	t.Parallel()
	holdsMoney := map[status]bool{captured: true, refunding: true}
	for _, from := range allStatuses {
		for _, n := range triggers {
			to := from.after(n)
			if holdsMoney[from] && !holdsMoney[to] && to != refunded {
				t.Errorf("%s, %s: became %s and the money is lost", from, n, to)
			}
			if from == refunded && to != refunded {
				t.Errorf("refunded, %s: became %s", n, to)
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
