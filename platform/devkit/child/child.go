// Package child starts a program that ends with this process, even if this is killed with SIGKILL.
// It works on Linux and macOS: no PR_SET_PDEATHSIG, only a pipe, a shell and process groups.
package child

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Options of a program. Only Path is required.
type Options struct {
	Name       string              // prefixes output and errors; the path if empty
	Path       string              // looked up in PATH when it has no slash
	Args       []string            // without the program's own name
	Env        []string            // nil means this process's environment
	Dir        string              // "" means this process's working directory
	Credential *syscall.Credential // run as this user; only root may
	Files      []*os.File          // inherited as descriptors 3, 4, …
	Out        io.Writer           // stdout and stderr, in whole prefixed lines; safe for concurrent use if shared
	StopSignal syscall.Signal      // ends the program: SIGINT, SIGQUIT, or SIGTERM if zero, whose numbers POSIX fixes
	Cleanup    []string            // a command that the guard runs only if this process died before the program
}

// Process is a program that runs or has ended.
type Process struct {
	name string
	stop syscall.Signal
	cmd  *exec.Cmd
	done chan struct{}
	err  error // written before done is closed
}

// Start runs the program in its own process group, so that Ctrl-C in the terminal reaches only this
// process, which can then stop its children in order.
func Start(o Options) (*Process, error) {
	if o.Name == "" {
		o.Name = o.Path
	}
	if o.StopSignal == 0 {
		o.StopSignal = syscall.SIGTERM
	}
	guard, err := startGuard(o.StopSignal, o.Cleanup)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	cmd := exec.Command(o.Path, o.Args...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = o.Env, o.Dir, o.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: guard.cmd.Process.Pid, Credential: o.Credential}
	out, err := capture(cmd, o.Name+" | ", o.Out)
	if err == nil {
		err = cmd.Start()
		out.started()
	}
	if err != nil {
		guard.dismiss()
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	guard.watch(cmd.Process.Pid)

	p := &Process{name: o.Name, stop: o.StopSignal, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the state says more than its error
		guard.dismiss()
		out.finish()
		p.err = ending(p.name, cmd.ProcessState)
	}()
	return p, nil
}

// PID returns the program's process id, not the guard's: a fault test may send it any signal.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits for the end and returns nil for exit code 0, else an *ExitError.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Await asks again and again whether the program is ready, which it is without an error, and returns
// an error if the program or ctx ends before.
func (p *Process) Await(ctx context.Context, every time.Duration, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it did not start: %w", cmp.Or(p.err, errors.New("it ended at once")))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w; %w", err, ctx.Err())
		case <-time.After(every):
		}
	}
}

// Signal sends a signal to the program, but not to its children; nil if the program has ended.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop sends the stop signal and kills the program after the grace period. It returns nil if the
// program ended with exit code 0 or by the stop signal; else how it ended, also long ago.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(p.stop); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(grace):
		if err := p.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		<-p.done
		return fmt.Errorf("%s did not end within %s and was killed", p.name, grace)
	}
	if exit, ok := errors.AsType[*ExitError](p.err); ok && exit.Signal == p.stop {
		return nil
	}
	return p.err
}

// ExitError is any end but exit code 0.
type ExitError struct {
	Name   string
	Code   int            // -1 if a signal ended it
	Signal syscall.Signal // 0 if it exited by itself
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("%s was ended by signal %d (%s)", e.Name, int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("%s ended with exit code %d", e.Name, e.Code)
}

func ending(name string, state *os.ProcessState) error {
	status := state.Sys().(syscall.WaitStatus) // on every Unix
	switch {
	case status.Signaled():
		return &ExitError{Name: name, Code: -1, Signal: status.Signal()}
	case status.ExitStatus() != 0:
		return &ExitError{Name: name, Code: status.ExitStatus()}
	}
	return nil
}
