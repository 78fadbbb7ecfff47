//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// FAILPOINT=moment:n
var (
	deadly, nth, _ = strings.Cut(os.Getenv("FAILPOINT"), ":")
	passings       atomic.Int64
)

// Here kills this process, with SIGKILL, on the nth passing of the moment that FAILPOINT names.
func Here(moment string) {
	if moment != deadly || strconv.FormatInt(passings.Add(1), 10) != nth {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal may take a moment, and nothing may happen in it
}
