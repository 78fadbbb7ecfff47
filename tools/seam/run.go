package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
)

// git runs git in a folder, without anybody's hooks, and returns what it prints.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"-c", "core.hooksPath=/dev/null"}, args...)...) //nolint:gosec // our own words
	command.Dir = dir
	out, err := command.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(failed.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// gitEach runs git in a folder for each of these commands, until one fails.
func gitEach(ctx context.Context, dir string, commands ...[]string) error {
	for _, args := range commands {
		if _, err := git(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// addAll is the git command that adds all of what was made, whatever a person's own list ignores.
func addAll() []string { return []string{"-c", "core.excludesFile=/dev/null", "add", "--all"} }

// committing returns the words of a git command that commits, by the person whom git knows here.
func committing(ctx context.Context, args ...string) []string {
	words := []string{"-c", "commit.gpgSign=false"}
	for name, otherwise := range map[string]string{"user.name": "seam", "user.email": "seam@localhost"} {
		value, err := git(ctx, ".", "config", name)
		if err != nil || value == "" {
			value = otherwise
		}
		words = append(words, "-c", name+"="+value)
	}
	return append(words, args...)
}

// committed refuses a repository with changes that git does not have.
func committed(ctx context.Context, root string) error {
	changes, err := git(ctx, root, "status", "--porcelain", "--untracked-files=normal")
	if err != nil {
		return process.Usage(fmt.Errorf("%s must be a git repository, with everything committed: %w", root, err))
	}
	if changes != "" {
		return process.Usage(fmt.Errorf("not everything in %s is committed: commit or stash it first", root))
	}
	return nil
}

// goCommand is a call of the go command in a folder.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own words
	command.Dir, command.Env = dir, architecture.GoEnvironment()
	return command
}

// watched runs a command, and prints to out each of its lines that no other one follows within two
// seconds: a step that takes long. Its error has all that the command has printed.
func watched(out io.Writer, command *exec.Cmd) error {
	said := &steps{out: out}
	command.Stdout, command.Stderr = said, said
	err := command.Run()
	said.begin("")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, &said.all)
	}
	return nil
}

// steps gets the lines of a command, each of which begins a step.
type steps struct {
	out  io.Writer
	all  bytes.Buffer
	slow *time.Timer // prints the step under way
}

func (s *steps) Write(text []byte) (int, error) {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	s.begin(lines[len(lines)-1])
	return s.all.Write(text)
}

func (s *steps) begin(step string) {
	if s.slow != nil {
		s.slow.Stop()
	}
	if step != "" {
		s.slow = time.AfterFunc(progressEvery, func() { fmt.Fprintln(s.out, " ", step) })
	}
}
