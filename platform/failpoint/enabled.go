//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// FAILPOINT=moment:n
var (
	chosen, nth, _ = strings.Cut(os.Getenv("FAILPOINT"), ":")
	passings       atomic.Int64
)

// Here kills this process, with SIGKILL, on the nth passing of the moment that FAILPOINT names.
func Here(moment string) {
	if moment == chosen && strconv.FormatInt(passings.Add(1), 10) == nth {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal may take a moment, and nothing may happen in it
	}
}
