package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// verdictHolds is how long a verdict is cached: a thousand probes a second cost two checks.
	verdictHolds = 500 * time.Millisecond
	// patience is how long a probe waits for a check, which after that fails until it ends.
	patience = time.Second
)

// Note is the error of a check that is passed, although an operator must do something. The pages
// show it to anybody who may see them, so it names no hosts and users.
type Note string //nolint:errname // it is no failure

func (n Note) Error() string { return string(n) }

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

// failure returns an error unless the cached verdict is good, or that of the check under way. It is
// a Note, or one for clients: the check's own error may name hosts and users.
func (c *check) failure(ctx context.Context) error {
	failed := fmt.Errorf("%s is not ready", c.name)
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
			return failed
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if note, ok := errors.AsType[Note](c.verdict); ok {
		return Note(c.name + ": " + string(note))
	}
	if c.verdict != nil {
		return failed
	}
	return nil
}

func (c *check) judge(ctx context.Context, running chan struct{}) {
	err := c.run(ctx)
	c.mu.Lock()
	c.verdict, c.until, c.running = err, time.Now().Add(verdictHolds), nil
	c.mu.Unlock()
	close(running)
}
