//go:build !failpoints

// Package failpoint marks the moments at which a test may kill the process. Only a binary built
// with -tags failpoints has them: it dies at the moment that its environment names.
package failpoint

// Here does nothing in this build.
func Here(string) {}
