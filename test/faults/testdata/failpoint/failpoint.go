// Package failpoint is what the edited binaries have and the shop's own do not: moments at which a process kills itself, and mechanisms
// that can be switched off. This file is compiled into each package that edits_test.go edits, under that package's name.
package failpoint

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// FAILPOINT=name:n is where this process dies: on its nth passing of that point.
var (
	deadly, nth, _ = strings.Cut(os.Getenv("FAILPOINT"), ":")
	passed         atomic.Int64
)

func dies(name string) {
	if name != deadly {
		return
	}
	if n, _ := strconv.ParseInt(nth, 10, 64); passed.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal may take a moment, and nothing may happen in it
	}
}

// without says whether BROKEN, names separated by commas, switches the mechanism off.
func without(mechanism string) bool {
	return slices.Contains(strings.Split(os.Getenv("BROKEN"), ","), mechanism)
}

// omit takes a part out of a statement when the mechanism is off.
func omit(mechanism, part, statement string) string {
	if without(mechanism) {
		return strings.Replace(statement, part, "", 1)
	}
	return statement
}

const aWhile = 300 * time.Millisecond

// later does what should have been done before.
func later(f func()) { time.AfterFunc(aWhile, f) }

// linger gives what was done too early the time to take effect.
func linger() { time.Sleep(aWhile) }

// stumble is a bug that MENDED mends.
func stumble(payload []byte) {
	if strings.Contains(string(payload), "a bug") && os.Getenv("MENDED") == "" {
		panic("a bug")
	}
}
