package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

// withPostgres runs a command with a temporary PostgreSQL as TEST_DATABASE_URL, unless the
// environment already names a server or Docker. So all packages of a test run share one server.
func withPostgres(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("postgres", flag.ContinueOnError)
	if err := flags.Parse(set, "seam postgres -- COMMAND [ARG…] runs it with a temporary PostgreSQL as TEST_DATABASE_URL.", args); err != nil {
		return err
	}
	args = set.Args()
	if len(args) == 0 {
		return process.Usage(errors.New("name the command to run, as in: seam postgres -- go test work"))
	}
	var own []string
	if os.Getenv("TEST_DATABASE_URL") == "" && os.Getenv("TEST_POSTGRES") == "" {
		server, err := pgserver.Start(ctx, pgserver.Options{Out: os.Stderr})
		if err != nil {
			return err
		}
		defer func() { _ = server.Stop(context.WithoutCancel(ctx)) }() // it is thrown away
		own = []string{"TEST_DATABASE_URL=" + server.URL()}
	}
	return runCommand(ctx, args, own...)
}

// commandGrace is how long a command may take to stop.
const commandGrace = 10 * time.Second

// runCommand runs the command with more settings. When ctx ends it interrupts the command and what
// that has started, since a shell waits for its child whatever happens to itself, and after a grace
// it kills them.
func runCommand(ctx context.Context, args []string, env ...string) error {
	command := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // its purpose
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended := make(chan struct{})
	defer close(ended)
	command.Cancel = func() error {
		group := -command.Process.Pid
		go func() {
			select {
			case <-ended:
			case <-time.After(commandGrace):
				_ = syscall.Kill(group, syscall.SIGKILL)
			}
		}()
		return syscall.Kill(group, syscall.SIGINT)
	}
	command.Env = append(os.Environ(), env...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
