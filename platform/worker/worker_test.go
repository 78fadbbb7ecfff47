package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/shop/platform/worker"
)

var silent = slog.New(slog.DiscardHandler)

// begin runs the worker and returns stop, which waits for its end.
func begin(t *testing.T, w *worker.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func TestItRunsAtOnceAndWhileThereIsMore(t *testing.T) {
	t.Parallel()
	left := 3
	empty := make(chan struct{})
	stop := begin(t, worker.New("w", time.Hour, func(context.Context) (bool, error) {
		if left--; left == 0 {
			close(empty)
		}
		return left > 0, nil
	}, silent))
	<-empty
	stop()
	if left != 0 {
		t.Errorf("%d steps too many", -left)
	}
}

func TestItRests(t *testing.T) {
	t.Parallel()
	const step, steps = 5 * time.Millisecond, 3
	left := steps
	empty, began := make(chan struct{}), time.Now()
	stop := begin(t, worker.New("w", time.Hour, func(context.Context) (bool, error) {
		time.Sleep(step)
		if left--; left == 0 {
			close(empty)
		}
		return left > 0, nil
	}, silent).Gently())
	<-empty
	stop()
	if took, least := time.Since(began), steps*step+(steps-1)*9*step; took < least {
		t.Errorf("%d steps took %s, want %s at least", steps, took, least)
	}
}

func TestAWakeDuringAStepIsNotLost(t *testing.T) {
	t.Parallel()
	steps := make(chan chan struct{})
	w := worker.New("w", time.Hour, func(context.Context) (bool, error) {
		proceed := make(chan struct{})
		steps <- proceed
		<-proceed
		return false, nil
	}, silent)
	stop := begin(t, w)
	first := <-steps
	w.Wake() // too late for the first step
	w.Wake() // which never blocks
	close(first)
	close(<-steps)
	stop()
}

func TestItPolls(t *testing.T) {
	t.Parallel()
	steps := make(chan struct{}, 100)
	stop := begin(t, worker.New("w", time.Millisecond, func(context.Context) (bool, error) {
		select {
		case steps <- struct{}{}:
		default:
		}
		return false, nil
	}, silent))
	for range 5 {
		<-steps
	}
	stop()
}

func TestAFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	tries, healed := 0, make(chan struct{})
	stop := begin(t, worker.New("w", time.Hour, func(context.Context) (bool, error) {
		switch tries++; tries {
		case 1:
			return false, errors.New("down")
		case 2:
			panic("a bug")
		}
		close(healed)
		return false, nil
	}, silent))
	<-healed
	stop()
}

// The pauses double from 50 ms to 2 s, each ±50 %, and start over after a step that succeeds.
func TestTheMoreAStepFailsTheLongerItRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const failures = 9
		var at []time.Time
		enough := make(chan struct{})
		stop := begin(t, worker.New("w", time.Hour, func(context.Context) (bool, error) {
			switch at = append(at, time.Now()); len(at) {
			case failures + 1:
				return true, nil
			case failures + 4:
				close(enough)
			}
			return false, errors.New("down")
		}, silent))
		<-enough
		stop()
		var pauses []time.Duration
		for i := range at[1:] {
			pauses = append(pauses, at[i+1].Sub(at[i]))
		}
		const ms = time.Millisecond
		for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000, 2000, 0, 50, 100} {
			want *= ms
			if pauses[i] < want/2 || pauses[i] > want*3/2 {
				t.Errorf("pause %d is %s, want %s ± 50 %%; all: %v", i+1, pauses[i], want, pauses)
			}
		}
		if slices.Equal(pauses[6:8], []time.Duration{2000 * ms, 2000 * ms}) {
			t.Error("no jitter: workers that failed together retry together")
		}
	})
}

func TestAStepUnderWayIsFinished(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	finished := false
	w := worker.New("w", time.Hour, func(ctx context.Context) (bool, error) {
		cancel()
		finished = ctx.Err() == nil
		return true, nil
	}, silent)
	if err := w.Run(ctx); err != nil || !finished {
		t.Errorf("finished %v, %v", finished, err)
	}
}

func TestAStopIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var logged strings.Builder
	w := worker.New("w", time.Hour, func(ctx context.Context) (bool, error) {
		ctx, release := worker.UntilStop(ctx)
		defer release()
		cancel()
		<-ctx.Done()
		return false, fmt.Errorf("connect: %w", ctx.Err())
	}, slog.New(slog.NewTextHandler(&logged, nil)))
	if err := w.Run(ctx); err != nil || logged.Len() > 0 {
		t.Errorf("run: %v; logged %s", err, logged.String())
	}
}
