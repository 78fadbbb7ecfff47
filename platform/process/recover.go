package process

import (
	"fmt"
	"runtime/debug"
)

// Recover makes a panic the error, with its stack. Defer it where a bug must not end the process.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
