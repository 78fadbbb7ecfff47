package load

import (
	"math"
	"slices"
	"time"
)

// Times are measured durations. All are kept: averages and histograms hide the worst.
type Times []time.Duration

// At returns the percentile by the nearest rank, 0 without any times.
func (t Times) At(percent float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
