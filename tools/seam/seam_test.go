package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// bin holds the commands under test, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if len(topology.Modules) == 0 {
			fmt.Println("no test runs, because there are no modules to run it with")
			return 0
		}
		var err error
		if bin, err = topology.Build(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		_ = os.Setenv("ENVIRONMENT", "development")
		return m.Run()
	}())
}

// state returns a folder for a system that PostgreSQL's own user can enter.
func state(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "seam-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "state")
}

// run runs a command to its end and returns what it said on standard error and its exit code.
func run(t *testing.T, env []string, name string, args ...string) (said string, code int) {
	t.Helper()
	_, said, code = call(t, env, name, args...)
	return said, code
}

// call is run, and returns what the command printed, too.
func call(t *testing.T, env []string, name string, args ...string) (printed, said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it might serve
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	command.Env = append(append(os.Environ(), "LOG_LEVEL=warn"), env...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), code
}

func TestBadUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	module := aModule()
	type use struct {
		env     []string
		command []string
		says    string
	}
	tests := map[string]use{
		"no verb":               {nil, []string{"seam"}, "say which of these to do"},
		"unknown verb":          {nil, []string{"seam", "dance"}, "dance is nothing it can do"},
		"unknown flag":          {nil, []string{"seam", "up", "--fast"}, "-fast; see seam up --help"},
		"token without a name":  {nil, []string{"seam", "token", "--role", "customer"}, "--sub must name one person"},
		"token of no role":      {nil, []string{"seam", "token", "--sub", "ada", "--role", "owner"}, "--role must be customer, staff or service"},
		"token for years":       {nil, []string{"seam", "token", "--sub", "ada", "--role", "staff", "--ttl", "9000h"}, "--ttl may be 24h0m0s at most"},
		"token of no system":    {[]string{"SEAM_STATE=" + state(t)}, []string{"seam", "token", "--sub", "ada", "--role", "staff"}, "run seam up first"},
		"up with an argument":   {nil, []string{"seam", "up", "fast"}, "is more than seam up takes"},
		"a database unnamed":    {[]string{"PORT=0", "SEAM_STATE=" + state(t), "DATABASE_URL=postgres://localhost"}, []string{"seam", "up"}, "must be a URL with a database"},
		"a canary of nothing":   {[]string{"PORT=0", "SEAM_STATE=" + state(t), "CANARY=no-such"}, []string{"seam", "up"}, "no canary of"},
		"a canary of a split":   {[]string{"PORT=0", "SEAM_STATE=" + state(t), "CANARY=" + module, "SPLIT=" + module}, []string{"seam", "up"}, "no canary of"},
		"a split in two":        {[]string{"PORT=0", "SEAM_STATE=" + state(t), "SPLIT=" + module + "," + module}, []string{"seam", "up"}, module + " cannot be split off twice"},
		"a split of nothing":    {[]string{"PORT=0", "SEAM_STATE=" + state(t), "SPLIT=no-such"}, []string{"seam", "up"}, "no module"},
		"up around nothing":     {nil, []string{"seam", "up", "--"}, "name the command to run"},
		"postgres for nothing":  {nil, []string{"seam", "postgres"}, "name the command to run"},
		"setup of nothing":      {[]string{"DATABASE_URL="}, []string{"seam", "setup"}, "needs DATABASE_URL and SEAM_ROLE_SECRET"},
		"broker with arguments": {nil, []string{"seam", "broker", "--port", "0", "fast"}, "is more than seam broker takes"},
		"setup with arguments":  {nil, []string{"seam", "setup", module}, "is more than seam setup takes"},
		"a state of two lines":  {[]string{"SEAM_STATE=a\nb"}, []string{"seam", "up"}, "end of line"},
		"a state in a file":     {[]string{"SEAM_STATE=/etc/passwd"}, []string{"seam", "env"}, "SEAM_STATE"},
		"a state below a file":  {[]string{"SEAM_STATE=/etc/passwd/x"}, []string{"seam", "up"}, "SEAM_STATE"},
		"a bad port":            {[]string{"PORT=web"}, []string{"seam", "up"}, "PORT=web is not a number"},
		"a port in use":         {[]string{"PORT=" + port, "SEAM_STATE=" + state(t)}, []string{"seam", "up"}, "is in use: stop what uses it, or choose another one"},
		"a missing setting":     {nil, []string{"monolith", "serve"}, setting(module)},
		"an unknown module":     {[]string{"MODULES=" + module + ",no-such"}, []string{"monolith", "serve"}, `MODULES names "no-such"`},
		"a service unset":       {[]string{"SERVICE_TOKEN=x"}, []string{module, "serve"}, setting(module)},
		"serve with arguments":  {nil, []string{"monolith", "serve", "--port", "1"}, "serve takes no arguments"},
		"an old schema":         {outdated(t, module), []string{module, "serve"}, "run its migrate verb"},
		"a module that it does not link": {extracted(t), []string{"monolith", "serve"},
			"BUS=memory reaches this process alone, which does not serve tolls: set BUS=nats"},
	}
	if len(topology.Modules) > 1 {
		tests["a mix in memory"] = use{[]string{"MODULES=" + module}, []string{"monolith", "serve"}, "set BUS=nats"}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, code := run(t, test.env, test.command[0], test.command[1:]...)
			if code != 2 || !strings.Contains(said, test.says) {
				t.Errorf("exit code %d, said %q; want 2 and %q", code, said, test.says)
			}
			if lines := strings.Count(strings.TrimSpace(said), "\n") + 1; lines != 1 {
				t.Errorf("the error has %d lines:\n%s", lines, said)
			}
		})
	}
}

// outdated returns the environment of a module's process whose schema is too old.
func outdated(t *testing.T, module string) []string {
	t.Helper()
	db := pgtest.New(t, pgtest.Schema{Module: module, Migrations: os.DirFS("../../migrations/" + module)})
	conn, err := pgx.Connect(t.Context(), db.MigrateURL(module))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "DELETE FROM module_version WHERE version_id > 0"); err != nil {
		t.Fatal(err)
	}
	return append(authorized(t), setting(module)+"="+db.URL(module))
}

func TestWithPostgres(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 7} {
		script := fmt.Sprintf(`case "$TEST_DATABASE_URL$PGSERVICE$PGSSLROOTCERT$PGHOST" in
			postgres://*sslmode=disable) exit %d;; esac; exit 99`, code)
		env := append([]string{"TEST_DATABASE_URL=", "TEST_POSTGRES="}, elsewhere...)
		_, got := run(t, env, "seam", "postgres", "--", "sh", "-c", script)
		if want := min(code, 1); got != want {
			t.Errorf("the command ended with %d and seam with %d", code, got)
		}
	}
}

// A program beside seam is a verb, which the help of seam explains in the program's own words.
func TestAProgramBesideSeamIsAVerb(t *testing.T) {
	t.Parallel()
	beside := t.TempDir()
	if err := os.Link(filepath.Join(bin, "seam"), filepath.Join(beside, "seam")); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"seam-lamps": `if [ "$1" = help ]; then printf 'seam lamps [--red]\n    light the lamps\n'; else echo "lit $*"; fi`,
		"seam-mute":  "exit 1",
	} {
		if err := os.WriteFile(filepath.Join(beside, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]string{
		"help":        "\nseam lamps [--red]\n    light the lamps\nseam mute [--help]\n    run " + filepath.Join(beside, "seam-mute") + "\n",
		"lamps --red": "lit lamps --red\n",
	} {
		printed, err := exec.CommandContext(t.Context(), filepath.Join(beside, "seam"), strings.Fields(args)...).Output()
		if err != nil || !strings.HasSuffix(string(printed), want) {
			t.Errorf("seam %s: %v, printed %q, want %q", args, err, printed, want)
		}
	}
}
