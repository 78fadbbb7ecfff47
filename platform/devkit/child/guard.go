package child

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guardScript blocks in read until the last copy of the pipe's write end is closed, as happens when
// the parent dies. Then it acts: $1 is the number of the signal that ends the program, $2 the
// seconds that it may take, the rest the clean-up command. Signals go to process 0, the guard's own
// group with the program and its children, so no stale pid can be hit; the guard survives all but
// KILL.
const guardScript = `
trap '' HUP INT QUIT TERM USR1 USR2
echo ready
exec >/dev/null 2>&1
read -r pid
read -r nothing
signal=$1 patience=$(($2 * 10))
shift 2
kill "-$signal" 0
while [ "$patience" -gt 0 ] && kill -s 0 "$pid"; do
	sleep 0.1
	patience=$((patience - 1))
done
if kill -s 0 "$pid"; then kill -s KILL "$pid"; fi
[ $# -eq 0 ] || "$@" || { sleep 1; "$@"; }
kill -s KILL 0
`

// patience is how many seconds a program may take to end after its parent died.
const patience = "10"

// guard is a shell that outlives this process just long enough to end the program.
//
//	this process ──pipe──▶ guard (sh, leader of a group)
//	      └───────────────▶ program (joins the guard's group)
//
// The guard starts first, and the program joins its group before it runs, so it is never without a
// guard: a fork that has not reached its exec still holds the pipe open.
type guard struct {
	cmd  *exec.Cmd
	pipe *os.File // the guard acts when it closes; close-on-exec, so no other child keeps it open
}

func startGuard(stop syscall.Signal, cleanup []string) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", guardScript, "guard", strconv.Itoa(int(stop)), patience}, cleanup...)...)
	cmd.Dir = "/" // a folder in use could not be removed
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in the terminal must not reach the guard
	ready, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start guard: %w", err)
	}
	g := &guard{cmd: cmd, pipe: w}
	// Wait for its traps: a stopped program whose parent dies brings a SIGHUP to the whole group.
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		g.dismiss()
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

// watch sends the guard the process id that it waits for before it cleans up.
func (g *guard) watch(pid int) {
	fmt.Fprintln(g.pipe, pid) // the guard may have ended, which is no error
}

// dismiss kills the guard before it acts, with all that the program left running in the group.
func (g *guard) dismiss() {
	// The guard is not reaped yet, so no other group can have its number.
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	_ = g.cmd.Wait()
	g.pipe.Close()
}
