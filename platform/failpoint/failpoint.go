//go:build !failpoints

// Package failpoint marks the moments at which a test may have a process die. What is shipped has
// no failpoints: only a process built with -tags failpoints dies, at the moment that its
// environment names.
package failpoint

// Here does nothing in this build.
func Here(string) {}
