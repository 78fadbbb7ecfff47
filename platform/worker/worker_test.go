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

	"github.com/google/go-cmp/cmp"

	"example.com/shop/platform/worker"
)

// The outcomes of a step, in the tests below. Each step takes a millisecond.
const (
	done = iota
	more
	fails
	panics
)

// run makes a worker that polls every hour take steps with these outcomes. It returns the pause
// before each step.
func run(t *testing.T, prepare func(*worker.Worker) *worker.Worker, outcomes ...int) (pauses []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		last := time.Now()
		w := prepare(worker.New("w", time.Hour, func(ctx context.Context) (bool, error) {
			outcome := outcomes[len(pauses)]
			pauses = append(pauses, time.Since(last))
			time.Sleep(time.Millisecond)
			last = time.Now()
			if len(pauses) == len(outcomes) {
				cancel()
				if ctx.Err() != nil {
					t.Error("the stop interrupts a step under way")
				}
			}
			switch outcome {
			case fails:
				return false, errors.New("down")
			case panics:
				panic("a bug")
			}
			return outcome == more, nil
		}, slog.New(slog.DiscardHandler)))
		if err := w.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return pauses
}

// It runs at once, again while there is more, and then polls. A wake ends a wait
// and is not lost during a step, but does not shorten the pause after a failure.
func TestWhenItRuns(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	plain := func(w *worker.Worker) *worker.Worker { return w }
	wakes := func(times int, after time.Duration) func(*worker.Worker) *worker.Worker {
		return func(w *worker.Worker) *worker.Worker {
			time.AfterFunc(after, func() {
				for range times { // it never blocks
					w.Wake()
				}
			})
			return w
		}
	}
	for name, test := range map[string]struct {
		prepare  func(*worker.Worker) *worker.Worker
		outcomes []int
		want     []time.Duration
	}{
		"more, then none":    {plain, []int{more, more, done, done}, []time.Duration{0, 0, 0, time.Hour}},
		"throttled":          {(*worker.Worker).Throttled, []int{more, more, done, done}, []time.Duration{0, 9 * ms, 9 * ms, time.Hour}},
		"woken while idle":   {wakes(1, time.Second), []int{done, done, done}, []time.Duration{0, 999 * ms, time.Hour}},
		"woken during steps": {wakes(2, ms/2), []int{done, done, done}, []time.Duration{0, 0, time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, run(t, test.prepare, test.outcomes...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	// A panic is a failure, too.
	if pauses := run(t, wakes(2, 2*ms), panics, fails, done); pauses[1] < 25*ms || pauses[2] < 50*ms || pauses[2] > 150*ms {
		t.Errorf("after failures it pauses for %v", pauses[1:])
	}
}

// The pauses double from 50 ms to 2 s, each ±50 %, and start over after a step that succeeds.
func TestTheMoreAStepFailsTheLongerItRests(t *testing.T) {
	t.Parallel()
	outcomes := slices.Concat(slices.Repeat([]int{fails}, 9), []int{more, fails, fails, done})
	pauses := run(t, func(w *worker.Worker) *worker.Worker { return w }, outcomes...)[1:]
	for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000, 2000, 0, 50, 100} {
		want *= time.Millisecond
		if pauses[i] < want/2 || pauses[i] > want*3/2 {
			t.Errorf("pause %d is %s, want %s ± 50 %%; all: %v", i+1, pauses[i], want, pauses)
		}
	}
	if pauses[6] == pauses[7] {
		t.Error("no jitter: workers that failed together retry together")
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
