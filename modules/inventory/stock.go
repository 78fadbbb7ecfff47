package inventory

import (
	"errors"
	"math"
	"slices"
	"strings"
)

// The states of a reservation. Each arrow locks its row and leaves a state for good, so that a
// duplicate or late event moves no stock.
//
//	        placed, all on hand           confirmed
//	(none) ─────────────────────▶ reserved ────────▶ shipped
//	  │ │ placed, too little          │ cancelled
//	  │ └──────────────▶ rejected     └────────────▶ released
//	  │ cancelled
//	  └──────────────▶ cancelled   (a tombstone: a later placed event reserves nothing)

// answerVersion is the version of every reservation that is published: its later states are not.
const answerVersion = 1

// reasonOutOfStock is the reason of every rejection, whether the sku is short or unknown.
const reasonOutOfStock = "out_of_stock"

var (
	errUnknownSKU  = errors.New("unknown sku")
	errEmptyOrder  = errors.New("order without lines")
	errBadQuantity = errors.New("quantity below one")
)

type line struct {
	sku      string
	quantity int64
}

// merge adds up the lines of each sku and sorts by sku: stock is judged per product, not per line.
// A sum that would overflow stays at the largest number, which no stock covers.
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

// take subtracts every merged line from what is on hand, or nothing if one is short: an order is
// never sent in parts. Of an unknown product, which is not in the map, nothing is on hand.
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
