package backoff_test

import (
	"testing"
	"time"

	"example.com/shop/platform/backoff"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		failures          int
		first, most, want time.Duration
	}{
		"the first":             {1, 50 * ms, time.Hour, 50 * ms},
		"the fourth":            {4, 50 * ms, time.Hour, 400 * ms},
		"at the limit":          {9, 50 * ms, 2000 * ms, 2000 * ms},
		"after a year":          {1 << 30, 1, time.Hour, time.Hour},
		"a limit below a pause": {1, time.Hour, ms, ms},
		"none":                  {0, 50 * ms, time.Hour, 50 * ms},
	} {
		least, longest := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			pause := backoff.After(c.failures, c.first, c.most)
			least, longest = min(least, pause), max(longest, pause)
		}
		if least < c.want/2 || least > c.want*6/10 || longest > c.want*3/2 || longest < c.want*14/10 {
			t.Errorf("%s: from %s to %s, want %s ± 50 %%", name, least, longest, c.want)
		}
	}
}
