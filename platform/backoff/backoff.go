// Package backoff says how long to wait before something that has failed is tried again.
package backoff

import (
	"math/rand/v2"
	"time"
)

// After is the pause after the given number of failures: first, doubled with each up to most, and
// ±50 %, so that what failed together does not come back together.
func After(failures int, first, most time.Duration) time.Duration {
	pause := min(first, most)
	for range min(failures, 64) - 1 { // after so many it is most, however short it began
		pause = min(2*pause, most)
	}
	return pause/2 + rand.N(pause+1)
}
