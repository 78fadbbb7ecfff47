package child

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// guardScript sits in read until the last copy of the pipe's write end is closed, which is what happens to a parent
// that dies, whatever it died of. Only then does it act: $1 is the signal that asks the program to end, $2 the seconds
// it may take, the rest the clean-up command. A signal for process 0 goes to the guard's own group, that is to the
// program and whatever it started, so no stale pid can be hit; the guard ignores it and ends with the last line.
const guardScript = `
trap '' HUP INT QUIT TERM USR1 USR2
echo ready
exec >/dev/null 2>&1
read -r pid
read -r nothing
signal=$1 patience=$(($2 * 10))
shift 2
kill -s "$signal" 0
while [ "$patience" -gt 0 ] && kill -s 0 "$pid"; do
	sleep 0.1
	patience=$((patience - 1))
done
if kill -s 0 "$pid"; then kill -s KILL "$pid"; fi
[ $# -eq 0 ] || "$@" || { sleep 1; "$@"; }
kill -s KILL 0
`

// patience is how many seconds a program whose parent died may take to end by itself.
const patience = "10"

// guard is the shell that outlives this process by just long enough to end the program.
//
//	this process ──pipe──▶ guard (sh, leader of a group)
//	      └───────────────▶ program (joins the guard's group)
//
// The guard starts first and the program joins its group before it runs, so there is no moment in which the death of
// this process would leave the program alone: a fork that has not reached its exec still holds the pipe open.
type guard struct {
	cmd  *exec.Cmd
	pipe *os.File // its closing is the message; close-on-exec, so no other child keeps it open
}

func startGuard(stop syscall.Signal, cleanup []string) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	name, err := signalName(stop)
	if err != nil {
		w.Close()
		return nil, err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", guardScript, "guard", name, patience}, cleanup...)...)
	cmd.Dir = "/" // holds no folder that somebody may want to remove
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in the terminal is not for the guard
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start guard: %w", err)
	}
	g := &guard{cmd: cmd, pipe: w}
	// A guard without its traps is mortal: a stopped program whose parent dies brings a SIGHUP to the whole group.
	if _, err := said.Read(make([]byte, 1)); err != nil {
		g.dismiss()
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

// watch tells the guard which process it waits for before it cleans up.
func (g *guard) watch(pid int) {
	fmt.Fprintln(g.pipe, pid) // a guard that is gone already cannot be told, and that is no reason to fail
}

// dismiss ends the guard without letting it act, and with it whatever the program left running in the group.
func (g *guard) dismiss() {
	// The guard is not reaped yet, so the group's number cannot belong to anybody else.
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	_ = g.cmd.Wait()
	g.pipe.Close()
}

// signalName is the name that POSIX kill -s wants; numbers differ between systems.
func signalName(s syscall.Signal) (string, error) {
	names := map[syscall.Signal]string{
		syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGTERM: "TERM",
		syscall.SIGKILL: "KILL", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
	}
	if name, ok := names[s]; ok {
		return name, nil
	}
	return "", fmt.Errorf("a child cannot be stopped with %s", strings.ToLower(s.String()))
}
