//go:build !linux

package postgres

import "syscall"

// limitSilence does nothing: without the option, a statement waits for its own timeout.
func limitSilence(_, _ string, _ syscall.RawConn) error { return nil }
