package process

import (
	"context"
	"sync"
	"time"
)

const (
	// verdictHolds is how long a verdict is passed on without asking again, so that a thousand
	// questions a second cost two.
	verdictHolds = 500 * time.Millisecond
	// patience is how long a question waits for a check that has begun. One that takes longer is a
	// no until it ends.
	patience = time.Second
)

// check is one thing that has to be well. It is asked as seldom as verdictHolds allows and never
// twice at once: what it judges may hang, as a network does that is cut, and its questions must not
// pile up there.
type check struct {
	name string
	run  func(ctx context.Context) error

	mu      sync.Mutex
	verdict error
	until   time.Time     // the verdict holds
	began   time.Time     // the run under way, or the last one
	running chan struct{} // closed when the run under way ends; nil for none
}

// passes says whether the last verdict, or the one that it waits for, is good. The check itself
// runs on until ctx ends.
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
