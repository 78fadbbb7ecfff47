// Package process runs a program's parts: it starts them stage by stage and stops them in the
// reverse order, so that no part loses what it depends on while it has work under way.
package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Verb is one command of a program: monolith serve, seam token --sub ada.
type Verb struct {
	Name string
	Args string // what may follow, for the help; "" if nothing may
	Help string
	Run  func(ctx context.Context, args []string) error
}

// Main runs the verb that the first argument names, under a context that ends at SIGINT or SIGTERM;
// a second signal ends the process. It returns the exit code: 0 if the verb succeeds, 2 on
// ErrUsage, else 1.
func Main(verbs ...Verb) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from now on a signal has its default effect
	program := filepath.Base(os.Args[0])
	err := run(ctx, program, verbs, os.Args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 0 // done, explained, or interrupted as asked
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	if errors.Is(err, ErrUsage) {
		return 2
	}
	return 1
}

// ErrUsage marks an error that the user can correct: a setting, an argument, a step to do first.
var ErrUsage = errors.New("usage")

// Usage marks err as one that the user can correct.
func Usage(err error) error { return usageError{err} }

type usageError struct{ error }

func (usageError) Is(target error) bool { return target == ErrUsage }
func (e usageError) Unwrap() error      { return e.error }

func run(ctx context.Context, program string, verbs []Verb, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		for _, v := range verbs {
			fmt.Printf("%s %s %s\n    %s\n", program, v.Name, v.Args, v.Help)
		}
		if len(args) == 0 {
			return Usage(errors.New("say which of these to do"))
		}
		return nil
	}
	i := slices.IndexFunc(verbs, func(v Verb) bool { return v.Name == args[0] })
	if i < 0 {
		return Usage(fmt.Errorf("%s is nothing it can do; %s help lists what is", args[0], program))
	}
	if len(args) > 1 && verbs[i].Args == "" {
		return Usage(fmt.Errorf("%s takes no arguments; its settings come from the environment", args[0]))
	}
	return verbs[i].Run(ctx, args[1:])
}

// Stage is a set of parts that start and stop together. Each part runs until its context ends.
type Stage []func(ctx context.Context) error

// Run starts the stages in order and waits until signalled ends or a part fails; then it stops them
// in the reverse order, each when the one after it has stopped, all within grace: what has not
// stopped by then is left behind. It returns the errors of the parts, but for their own context's.
func Run(signalled context.Context, log *slog.Logger, grace time.Duration, stages ...Stage) error {
	ctx, cancel := context.WithCancelCause(signalled)
	defer cancel(nil)
	var mu sync.Mutex
	var failures []error
	type started struct {
		stop context.CancelFunc
		done chan struct{}
	}
	var running []started
	for _, stage := range stages {
		// Its own context: a stage stops only when its turn comes.
		stageCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		s := started{stop, make(chan struct{})}
		var parts sync.WaitGroup
		for _, part := range stage {
			parts.Go(func() {
				// The context's own error says only that the part has stopped as asked, and must not
				// hide another's.
				if err := part(stageCtx); err != nil && err != stageCtx.Err() { //nolint:errorlint // one that wraps it says more
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, err)
					cancel(err)
				}
			})
		}
		go func() { parts.Wait(); close(s.done) }()
		running = append(running, s)
	}
	<-ctx.Done()
	log.InfoContext(ctx, "stopping")
	limit, release := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer release()
	for _, s := range slices.Backward(running) {
		s.stop()
		select {
		case <-s.done:
		case <-limit.Done():
			log.WarnContext(ctx, "a stage did not stop in time", "grace", grace.String())
		}
	}
	log.InfoContext(ctx, "stopped")
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(failures...)
}
