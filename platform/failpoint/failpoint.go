//go:build !failpoints

// Package failpoint marks the moments at which a process may die in a test. A binary built as usual has no failpoints; one built
// with -tags failpoints kills itself at the one that its environment names.
package failpoint

// Here does nothing in this build.
func Here(string) {}
