package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startUp starts seam up and returns, once the system is ready, what it said.
func startUp(t *testing.T, dir string, args []string, env ...string) (seam *exec.Cmd, greeting string) {
	t.Helper()
	seam = exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "seam"), append([]string{"up"}, args...)...)
	seam.Env = append(append(os.Environ(), "PORT=0", "DATABASE_URL=", "SEAM_STATE="+dir), env...)
	out, err := seam.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := seam.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = seam.Process.Kill(); _ = seam.Wait() })
	for lines := bufio.NewScanner(out); !strings.Contains(greeting, "Ctrl-C stops everything"); greeting += lines.Text() + "\n" {
		if !lines.Scan() {
			t.Fatalf("seam ended, and said only:\n%s", greeting)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return seam, greeting
}

// The command finds a system that answers, and the pages of what is outside; both end with it. The
// log is kept if the command fails.
func TestUpAround(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(state(t))
	env := []string{"TMPDIR=" + dir, "DATABASE_URL="}
	for code, script := range map[int]string{
		0: `set -e; curl -sf "$SEAM_URL/v1/` + aModule() + `/openapi.json" >/dev/null
			for page in $(env | sed -n 's/^[A-Z]*_PAGE=//p'); do curl -sf "$page" >/dev/null; done
			test -s "$SEAM_KEY" && test -d "$SEAM_STATE" && echo "$SEAM_URL $SEAM_DATABASE_URL" >"$TMPDIR/said"`,
		1: "exit 7",
	} {
		found, _ := filepath.Glob(filepath.Join(dir, "seam-up-*.log"))
		for _, log := range found {
			os.Remove(log)
		}
		said, got := run(t, env, "seam", "up", "--", "sh", "-c", script)
		if got != code {
			t.Fatalf("seam ended with %d, and said %s", got, said)
		}
		logs, err := filepath.Glob(filepath.Join(dir, "seam-up-*.log"))
		if err != nil || len(logs) != code || code > 0 && !strings.Contains(said, logs[0]) {
			t.Errorf("the logs are %v, %v, and it said %s", logs, err, said)
		}
	}
	began := time.Now() // the shell waits for its child, whatever happens to itself
	if got, code := run(t, env, "seam", "up", "--", "sh", "-c", "kill -9 $(pgrep -P $PPID monolith); sleep 50; true"); code != 1 ||
		!strings.Contains(got, "the system cannot go on") || time.Since(began) > 45*time.Second {
		t.Errorf("the monolith was killed, and seam ended with %d after %s, and said %s", code, time.Since(began), got)
	}
	said, err := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	url, database, _ := strings.Cut(strings.TrimSpace(string(said)), " ")
	closed(t, "the monolith", strings.TrimPrefix(url, "http://"))
	if !strings.HasPrefix(database, "postgres://") {
		t.Errorf("SEAM_DATABASE_URL is %q", database)
	}
}

// closed waits until nothing listens there any more.
func closed(t *testing.T, what, addr string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("%s still runs", what)
		}
	}
}

// elsewhere is an environment with the settings of another PostgreSQL than seam's own.
var elsewhere = []string{
	"PGSERVICE=nosuch", "PGSSLROOTCERT=system", "PGSSLMODE=verify-full", "PGTARGETSESSIONATTRS=standby",
	"PGHOST=db.invalid", "PGPORT=1", "PGUSER=stranger", "PGPASSWORD=wrong", "PGDATABASE=none",
	"PGOPTIONS=-c search_path=public", "PGCONNECT_TIMEOUT=never", "PGREQUIREAUTH=none",
}

// A development system is stopped, started again with its data, killed, and started again. The
// environment's settings of another PostgreSQL do not matter, nor does its own address of the run
// before.
func TestUp(t *testing.T) {
	t.Parallel()
	dir := state(t) + " of b's $HOME \"`date`\" \\" // whatever a folder may be called
	var before string
	for i, signal := range []os.Signal{os.Interrupt, os.Kill, syscall.SIGTERM} {
		seam, greeting := startUp(t, dir, nil, append(elsewhere, "DATABASE_URL="+before)...)
		url, database := find(t, greeting, `(?m)^  system +(http\S+)`), find(t, greeting, `(?m)^  database +psql '(\S+)'`)
		before = database
		checkPasted(t, greeting, dir, database)
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		var runs int
		_, err = conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS public.runs (id int); INSERT INTO public.runs VALUES (1)")
		err = errors.Join(err, conn.QueryRow(t.Context(), "SELECT count(*) FROM public.runs").Scan(&runs))
		if err != nil || runs != i+1 {
			t.Errorf("run %d finds %d runs: data is not kept (%v)", i, runs, err)
		}
		server := net.JoinHostPort(conn.Config().Host, fmt.Sprint(conn.Config().Port))
		_ = conn.Close(t.Context())

		checkTokens(t, url, func(role string) string {
			tokenOf := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), "token", "--role", role, "--sub", "ada")
			tokenOf.Env = append(os.Environ(), "SEAM_STATE="+dir)
			text, err := tokenOf.Output()
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		})

		if err := seam.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err = seam.Wait()
		if signal != os.Kill && err != nil {
			t.Errorf("after %s: %v", signal, err)
		}
		closed(t, "the monolith", strings.TrimPrefix(url, "http://"))
		closed(t, "PostgreSQL", server)
	}
}
