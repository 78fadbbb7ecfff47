package inventory

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
)

// The life of a reservation. Its row is locked by each arrow and every arrow leaves a state that it cannot leave twice,
// so an event that comes again, or late, moves no stock.
//
//	        placed, all on hand           confirmed
//	(none) ─────────────────────▶ reserved ────────▶ shipped
//	  │ │ placed, too little          │ cancelled
//	  │ └──────────────▶ rejected     └────────────▶ released
//	  │ cancelled
//	  └──────────────▶ cancelled   (a tombstone: the placed that comes later reserves nothing)

// answerVersion is the version of the reservation in the one event about it. Its later states are
// not published, so no row counts on.
const answerVersion = 1

// reasonOutOfStock is what a rejection says, whether the sku is short or unknown: neither can be sent.
const reasonOutOfStock = "out_of_stock"

var (
	errUnknownSKU  = errors.New("unknown sku")
	errEmptyOrder  = errors.New("order without lines")
	errBadQuantity = errors.New("quantity below one")
	skuPattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
)

// validSKU tells whether a product could have the sku. Asking the database for others is worse than useless: it refuses
// a NUL or broken UTF-8 in a text with an error.
func validSKU(sku string) bool { return skuPattern.MatchString(sku) }

// line is so many pieces of one product.
type line struct {
	sku      string
	quantity int64
}

// merge adds up the lines of the same sku and sorts by sku: stock is judged per product, not per line.
// A sum too large to count stays at the largest number, which no stock covers.
func merge(lines []line) ([]line, error) {
	if len(lines) == 0 {
		return nil, errEmptyOrder
	}
	sorted := slices.SortedStableFunc(slices.Values(lines), func(a, b line) int { return strings.Compare(a.sku, b.sku) })
	merged := sorted[:0]
	for _, l := range sorted {
		if l.quantity < 1 {
			return nil, errBadQuantity
		}
		last := len(merged) - 1
		if last < 0 || merged[last].sku != l.sku {
			merged = append(merged, l)
			continue
		}
		merged[last].quantity += min(l.quantity, math.MaxInt64-merged[last].quantity)
	}
	return merged, nil
}

// take takes every merged line from what is on hand, or nothing when one is short: an order is
// never sent in parts. A sku that is not in the map is an unknown product, of which nothing is on
// hand.
func take(wanted []line, onHand map[string]int64) bool {
	for _, l := range wanted {
		if onHand[l.sku] < l.quantity {
			return false
		}
	}
	for _, l := range wanted {
		onHand[l.sku] -= l.quantity
	}
	return true
}
