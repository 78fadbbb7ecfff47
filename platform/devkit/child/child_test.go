package child_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
)

// shell starts a script and returns when it has printed "ready", after its traps are set.
func shell(t *testing.T, script string) *child.Process {
	t.Helper()
	r, w := io.Pipe()
	p, err := child.Start(child.Options{Name: "script", Path: "/bin/sh", Args: []string{"-c", script}, Out: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(0) })
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || line != "script | ready\n" {
		t.Fatalf("first line %q, error %v", line, err)
	}
	go io.Copy(io.Discard, r)
	return p
}

func TestOutputComesInPrefixedLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p, err := child.Start(child.Options{
		Name: "parcels", Path: "/bin/sh", Args: []string{"-c", "echo one; echo two >&2; printf three"}, Out: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "parcels | one\nparcels | two\nparcels | three\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErr(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"exit 0":                    "<nil>",
		"exit 3":                    "script ended with exit code 3",
		"kill -s KILL $$; sleep 60": "script was ended by signal 9 (killed)",
	} {
		if got := fmt.Sprint(shell(t, "echo ready; "+script).Err()); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

func TestStartOfAMissingProgram(t *testing.T) {
	t.Parallel()
	if _, err := child.Start(child.Options{Path: "/nowhere/at/all", Out: io.Discard}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	const forever = "echo ready; while :; do sleep 0.01; done"
	for name, test := range map[string]struct {
		script string
		grace  time.Duration
		want   string
	}{
		"by the signal":     {"echo ready; exec sleep 600", time.Minute, "<nil>"},
		"by a trap":         {"trap 'exit 0' TERM; " + forever, time.Minute, "<nil>"},
		"with an exit code": {"trap 'exit 4' TERM; " + forever, time.Minute, "script ended with exit code 4"},
		"by SIGKILL":        {"trap '' TERM; " + forever, 10 * time.Millisecond, "script did not end within 10ms and was killed"},
	} {
		if got := fmt.Sprint(shell(t, test.script).Stop(test.grace)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// A fault test stops and kills the program by its pid, without this package.
func TestFaultsByPID(t *testing.T) {
	t.Parallel()
	p := shell(t, "echo ready; exec sleep 600")
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		if err := syscall.Kill(p.PID(), sig); err != nil {
			t.Fatal(err)
		}
	}
	<-p.Done()
	if exit, ok := errors.AsType[*child.ExitError](p.Err()); !ok || exit.Signal != syscall.SIGKILL {
		t.Errorf("got %v", p.Err())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal after the end: %v", err)
	}
}

// What the program leaves running ends with it: held is open as long as any process of the group
// lives.
func TestStragglersEndWithTheProgram(t *testing.T) {
	t.Parallel()
	r, held := pipe(t)
	p, err := child.Start(child.Options{
		Path: "/bin/sh", Args: []string{"-c", "sleep 600 & exit 0"}, Files: []*os.File{held}, Out: io.Discard,
	})
	held.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	io.ReadAll(r)
}

// TestParent below is the parent, and is killed with SIGKILL.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"willing program": "exec sleep 600",
		"stopped program": "kill -s STOP $$",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cleaned := filepath.Join(dir, "cleaned")
			if err := syscall.Mkfifo(cleaned, 0o600); err != nil {
				t.Fatal(err)
			}
			r, held := pipe(t)
			parent := exec.Command(os.Args[0], "-test.run=^TestParent$")
			parent.Env = append(os.Environ(), "CHILD_SCRIPT="+script, "CHILD_CLEANED="+cleaned)
			parent.ExtraFiles = []*os.File{held}
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			held.Close()
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil || syscall.Kill(pid, 0) != nil {
				t.Fatalf("no process behind %q", line)
			}
			parent.Process.Kill()
			parent.Wait()

			if got, err := os.ReadFile(cleaned); string(got) != "cleaned\n" { // waits for the guard to write it
				t.Errorf("clean-up wrote %q, error %v", got, err)
			}
			io.ReadAll(r) // ends when no process of the group is left
		})
	}
}

func TestParent(t *testing.T) {
	script := os.Getenv("CHILD_SCRIPT")
	if script == "" {
		t.Skip("TestParentKilled runs it")
	}
	p, err := child.Start(child.Options{
		Path: "/bin/sh", Args: []string{"-c", script},
		Files:   []*os.File{os.NewFile(3, "held")},
		Cleanup: []string{"/bin/sh", "-c", `echo cleaned >"$1"`, "sh", os.Getenv("CHILD_CLEANED")},
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(p.PID())
	<-p.Done()
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, w
}
