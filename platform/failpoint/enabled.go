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

// Here kills this process with SIGKILL the nth time that it passes the moment named by FAILPOINT.
func Here(moment string) {
	if moment == chosen && strconv.FormatInt(passings.Add(1), 10) == nth {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}
