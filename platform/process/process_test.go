package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// window is a part of a configuration whose values must go together.
type window struct {
	Short int `env:"PROCESS_TEST_SHORT" envDefault:"1"`
	Long  int `env:"PROCESS_TEST_LONG" envDefault:"2"`
}

func (w window) Validate() error {
	if w.Short > w.Long {
		return errors.New("PROCESS_TEST_SHORT must not exceed PROCESS_TEST_LONG")
	}
	return nil
}

func TestSettingsMustGoTogether(t *testing.T) {
	type config struct{ Deep struct{ Window window } }
	if _, err := Config[config](); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	t.Setenv("PROCESS_TEST_SHORT", "3")
	if _, err := Config[config](); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "must not exceed") {
		t.Errorf("got %v", err)
	}
}

// journal remembers what happened in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// part runs until it is stopped and notes when that was.
func (j *journal) part(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		j.add(name)
		return nil
	}
}

func TestStagesStopInReverse(t *testing.T) {
	t.Parallel()
	ctx, signal := context.WithCancel(t.Context())
	var j journal
	signal()
	err := Run(ctx, slog.New(slog.DiscardHandler), time.Minute,
		Stage{j.part("pools")}, Stage{j.part("consumer"), j.part("consumer")}, Stage{j.part("relay")}, Stage{j.part("http")})
	if err != nil {
		t.Errorf("a signal is no failure: %v", err)
	}
	if want := []string{"http", "relay", "consumer", "consumer", "pools"}; !slices.Equal(j.lines, want) {
		t.Errorf("stopped in the order %v, want %v", j.lines, want)
	}
}

func TestAFailureStopsEverything(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var j journal
	err := Run(t.Context(), slog.New(slog.DiscardHandler), time.Minute,
		Stage{j.part("below")}, Stage{func(context.Context) error { return broken }}, Stage{j.part("above")})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if want := []string{"above", "below"}; !slices.Equal(j.lines, want) {
		t.Errorf("stopped in the order %v, want %v", j.lines, want)
	}
}

func TestAFailureWhileStoppingIsReturned(t *testing.T) {
	t.Parallel()
	ctx, signal := context.WithCancel(t.Context())
	signal()
	cutOff := errors.New("requests were cut off")
	err := Run(ctx, slog.New(slog.DiscardHandler), time.Minute, Stage{func(ctx context.Context) error { <-ctx.Done(); return cutOff }})
	if !errors.Is(err, cutOff) {
		t.Errorf("got %v", err)
	}
}

// Run returns although two stages never do. Those below are stopped when the first has used up the
// time of all.
func TestAStageThatHangsIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		release := make(chan struct{})
		defer close(release)
		began := time.Now()
		var j journal
		note := func(what string) { j.add(fmt.Sprintf("%s after %s", what, time.Since(began))) }
		part := func(name string, hangs bool) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				note(name)
				if hangs {
					<-release
				}
				return nil
			}
		}
		time.AfterFunc(time.Second, signal)
		err := Run(ctx, slog.New(slog.DiscardHandler), time.Minute,
			Stage{part("pools", false)}, Stage{part("consumer", true)}, Stage{part("relay", true)}, Stage{part("http", false)})
		if err != nil {
			t.Error(err)
		}
		synctest.Wait() // what was stopped last may not have written it down yet
		note("all")
		slices.Sort(j.lines[2:4]) // their stop comes at the same moment
		want := []string{"http after 1s", "relay after 1s", "consumer after 1m1s", "pools after 1m1s", "all after 1m1s"}
		if !slices.Equal(j.lines, want) {
			t.Errorf("stopped: %v, want %v", j.lines, want)
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
		if err := run(t.Context(), "shop", verbs, args); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if want := []string{"served", "--sub", "ada"}; !slices.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
	for _, args := range [][]string{nil, {"sevre"}, {"serve", "now"}} {
		if err := run(t.Context(), "shop", verbs, args); !errors.Is(err, ErrUsage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}

func TestAWrongSettingIsNamed(t *testing.T) {
	type config struct {
		URL  string `env:"PROCESS_TEST_URL,required,notEmpty"`
		Deep struct {
			Port  int           `env:"PROCESS_TEST_PORT"`
			Pause time.Duration `env:"PROCESS_TEST_PAUSE"`
		}
	}
	if _, err := Config[config](); !errors.Is(err, ErrUsage) || err.Error() != `required environment variable "PROCESS_TEST_URL" is not set` {
		t.Errorf("got %v", err)
	}
	t.Setenv("PROCESS_TEST_URL", "here")
	if cfg, err := Config[config](); err != nil || cfg.URL != "here" {
		t.Errorf("got %+v, %v", cfg, err)
	}
	// As a secret that was made with a newline at its end.
	t.Setenv("PROCESS_TEST_URL", " there\n")
	if cfg, err := Config[config](); err != nil || cfg.URL != "there" {
		t.Errorf("with white space around it: got %+v, %v", cfg, err)
	}
	t.Setenv("PROCESS_TEST_PORT", "web")
	if _, err := Config[config](); !errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), "PROCESS_TEST_PORT=web is not a number") {
		t.Errorf("got %v", err)
	}
	t.Setenv("PROCESS_TEST_PORT", "1")
	t.Setenv("PROCESS_TEST_PAUSE", "5")
	if _, err := Config[config](); !errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), "PROCESS_TEST_PAUSE=5 is no duration") {
		t.Errorf("got %v", err)
	}
}

// The façade polls once a second whether a process is ready, and sends it requests until then.
func TestLingerDelaysTheStop(t *testing.T) {
	t.Parallel()
	stopping, signal := context.WithCancel(t.Context())
	o := NewOperations(stopping, "")
	const known = 100 * time.Millisecond
	var lingered time.Duration
	began := time.Now()
	signal()
	err := Run(stopping, slog.New(slog.DiscardHandler), time.Minute,
		Stage{func(ctx context.Context) error { <-ctx.Done(); lingered = time.Since(began); return nil }}, Stage{o.Linger(known)})
	if err != nil || lingered < known {
		t.Errorf("stopped after %s, %v", lingered, err)
	}
}

func TestLingerEndsAtOnceAfterAFailure(t *testing.T) {
	t.Parallel()
	o := NewOperations(t.Context(), "")
	broken := errors.New("broken")
	err := Run(t.Context(), slog.New(slog.DiscardHandler), time.Millisecond,
		Stage{func(context.Context) error { return broken }}, Stage{o.Linger(time.Hour)})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
