// Package backoff computes the pause before a retry.
package backoff

import (
	"math/rand/v2"
	"time"
)

// After returns the pause after the given number of failures: first, doubled with each up to most,
// and ±50 %, so that what failed together is not retried together.
func After(failures int, first, most time.Duration) time.Duration {
	pause := min(first, most)
	for range min(failures, 64) - 1 { // more doublings would exceed any most
		pause = min(2*pause, most)
	}
	return pause/2 + rand.N(pause+1)
}
