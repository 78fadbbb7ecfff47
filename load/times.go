package load

import (
	"math"
	"slices"
	"time"
)

// Times are how long each of many things took. All are kept: an average of percentiles, or a histogram's rounding, would hide the worst.
type Times []time.Duration

// At is the time that so many percent of them did not exceed, by the nearest rank; 0 if there are none.
func (t Times) At(percent float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
