package web

import (
	"math"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// mostCallers bounds the callers whose requests are counted. The least recently seen is forgotten,
// and begins with a full bucket when it comes back.
const mostCallers = 16384

// callers has a token bucket for each caller. It is of this process: with several replicas, a
// caller has the rate in each. A service is not counted, because its calls are those of its
// callers.
type callers struct {
	rate    rate.Limit
	burst   int
	buckets *lru.Cache[Principal, *rate.Limiter] // nil without a limit
}

func newCallers(perSecond, burst int) callers {
	if perSecond == 0 {
		return callers{}
	}
	buckets, _ := lru.New[Principal, *rate.Limiter](mostCallers) // it fails for a size below 1 alone
	return callers{rate.Limit(perSecond), burst, buckets}
}

// wait takes a token of the caller's bucket, or returns how long it takes until there is one.
func (c callers) wait(who Principal) time.Duration {
	if c.buckets == nil || who.Role == "service" {
		return 0
	}
	bucket, known := c.buckets.Get(who)
	if !known {
		bucket = rate.NewLimiter(c.rate, c.burst)
		if earlier, found, _ := c.buckets.PeekOrAdd(who, bucket); found { // by a concurrent request
			bucket = earlier
		}
	}
	taken := bucket.Reserve()
	wait := taken.Delay()
	if wait > 0 {
		taken.Cancel()
	}
	return wait
}

// retryAfterHeader is the value of Retry-After, in whole seconds.
func retryAfterHeader(wait time.Duration) string { return strconv.Itoa(int(math.Ceil(wait.Seconds()))) }
