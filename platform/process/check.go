package process

import (
	"context"
	"sync"
	"time"
)

const (
	// verdictHolds is how long a verdict is cached: a thousand probes a second cost two checks.
	verdictHolds = 500 * time.Millisecond
	// patience is how long a probe waits for a check, which after that fails until it ends.
	patience = time.Second
)

// check is one readiness check. It runs as seldom as verdictHolds allows and never twice at once:
// what it checks may hang, as a network does that is cut, and probes must not pile up there.
type check struct {
	name string
	run  func(ctx context.Context) error

	mu      sync.Mutex
	verdict error
	until   time.Time     // the verdict holds
	began   time.Time     // the run under way, or the last one
	running chan struct{} // closed when the run under way ends; nil for none
}

// passes reports whether the cached verdict is good, or that of the check under way.
func (c *check) passes(ctx context.Context) bool {
	c.mu.Lock()
	if now := time.Now(); c.running == nil && !now.Before(c.until) {
		c.began, c.running = now, make(chan struct{})
		go c.judge(ctx, c.running)
	}
	running, left := c.running, time.Until(c.began.Add(patience))
	c.mu.Unlock()
	if running != nil {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-running:
		case <-timer.C:
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdict == nil
}

func (c *check) judge(ctx context.Context, running chan struct{}) {
	err := c.run(ctx)
	c.mu.Lock()
	c.verdict, c.until, c.running = err, time.Now().Add(verdictHolds), nil
	c.mu.Unlock()
	close(running)
}
