package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// journal remembers what happened in which order, and when.
type journal struct {
	began time.Time
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%s after %s", what, time.Since(j.began)))
}

// part runs until it is stopped, notes that, and ends with err when it has taken some time.
func (j *journal) part(name string, takes time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		j.add(name)
		time.Sleep(takes)
		return err
	}
}

// Stages stop in reverse, each when the one after it has stopped. Run returns although two of them
// do not stop: those below are stopped when the first has used up the time of all.
func TestASignalStopsStageByStage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopping, signal := context.WithCancel(t.Context())
		o := NewOperations(stopping, "")
		j := journal{began: time.Now()}
		const forever = time.Hour
		cutOff := errors.New("requests were cut off")
		time.AfterFunc(time.Second, signal)
		err := Run(stopping, slog.New(slog.DiscardHandler), time.Minute,
			Stage{j.part("pools", 0, nil)}, Stage{j.part("consumer", forever, nil), j.part("consumer", 0, nil)},
			Stage{j.part("relay", forever, nil)}, Stage{j.part("http", 4*time.Second, cutOff)},
			Stage{func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}, Stage{o.Linger(2 * time.Second)})
		if !errors.Is(err, cutOff) || errors.Is(err, context.Canceled) { // which Main takes for an interruption alone
			t.Errorf("got %v", err)
		}
		synctest.Wait() // what was stopped last may not have written it down yet
		j.add("run")
		slices.Sort(j.lines[2:5]) // their stop comes at the same moment
		want := []string{"http after 3s", "relay after 7s",
			"consumer after 1m1s", "consumer after 1m1s", "pools after 1m1s", "run after 1m1s"}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Error(diff)
		}
		time.Sleep(forever)
	})
}

func TestAFailureStopsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, broken := journal{began: time.Now()}, errors.New("broken")
		err := Run(t.Context(), slog.New(slog.DiscardHandler), time.Hour,
			Stage{j.part("below", 0, nil)}, Stage{func(context.Context) error { return broken }},
			Stage{j.part("above", 0, nil)}, Stage{NewOperations(t.Context(), "").Linger(time.Minute)})
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff([]string{"above after 0s", "below after 0s"}, j.lines); diff != "" {
			t.Error(diff)
		}
	})
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	var got []string
	verbs := []Verb{
		{Name: "serve", Run: func(context.Context, []string) error { got = append(got, "served"); return nil }},
		{Name: "token", Args: "--sub NAME", Run: func(_ context.Context, args []string) error { got = append(got, args...); return nil }},
	}
	for _, args := range [][]string{{"serve"}, {"token", "--sub", "ada"}, {"help"}} {
		if err := run(t.Context(), "app", verbs, args); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if want := []string{"served", "--sub", "ada"}; !slices.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
	for _, args := range [][]string{nil, {"sevre"}, {"serve", "now"}} {
		if err := run(t.Context(), "app", verbs, args); !errors.Is(err, ErrUsage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}
