// Package worker runs a step of background work repeatedly until its context ends.
//
// Every background loop has this shape: claim some rows, act on them, report whether
// there are more. The waiting work is in the database, so a worker may be killed at any moment.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"example.com/shop/platform/backoff"
	"example.com/shop/platform/process"
)

// A step that fails is retried after a pause that doubles from minPause to maxPause.
const (
	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second // and up to half as long again: the delay once the cause is gone
)

// stepLimit bounds one step, so that a worker stops soon after its context ends.
const stepLimit = 30 * time.Second

// Worker is one background loop.
type Worker struct {
	name  string
	every time.Duration
	step  func(ctx context.Context) (more bool, err error)
	rest  int // after a step that reports more, in step durations
	log   *slog.Logger
	wake  chan struct{}
}

// New returns a worker that does nothing before Run. It calls step again immediately while step
// reports more, else when woken, and at the latest after every.
func New(
	name string, every time.Duration, step func(ctx context.Context) (more bool, err error), log *slog.Logger,
) *Worker {
	return &Worker{name: name, every: every, step: step, log: log.With("worker", name), wake: make(chan struct{}, 1)}
}

// Throttled makes the worker rest after a step that reports more, nine times as long as the step
// took. So work without urgency, such as pruning, uses a tenth of a connection at most.
func (w *Worker) Throttled() *Worker {
	w.rest = 9
	return w
}

// Wake makes the worker run a step now. It never blocks. During a step it makes the step run again.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends and returns nil. A step under way then is finished, not interrupted.
// Several Runs at a time are loops of their own, and a wake reaches one of them.
func (w *Worker) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures, wake := 0, w.wake
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
		began := time.Now()
		more, err := w.once(ctx)
		pause := w.every
		failures, wake = failures+1, w.wake
		switch {
		case ctx.Err() != nil && errors.Is(err, context.Canceled): // by UntilStop
			return nil
		case err != nil:
			pause, wake = backoff.After(failures, minPause, maxPause), nil // a wake does not shorten it
			w.log.ErrorContext(ctx, "step failed", "error", err, "again_in", pause.String())
		case more:
			failures, pause = 0, time.Duration(w.rest)*time.Since(began)
		default:
			failures = 0
		}
		timer.Reset(pause)
	}
}

// once turns a panic into an error, so that one worker's bug does not end the process.
func (w *Worker) once(ctx context.Context) (more bool, err error) {
	defer process.Recover(&err)
	step, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepLimit)
	defer cancel()
	return w.step(context.WithValue(step, runKey{}, ctx))
}

type runKey struct{}

// UntilStop returns a step's context that also ends when the worker is to stop, for what a step may
// leave undone, such as connecting. Without a worker it ends only with ctx.
func UntilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	run, ok := ctx.Value(runKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	release := context.AfterFunc(run, cancel)
	return ctx, func() { release(); cancel() }
}
