package broker

import (
	"fmt"
	"io"
	"sync/atomic"
)

// logger writes notices, warnings and errors, a line each, and keeps what prevented the start.
type logger struct {
	to     io.Writer
	reason atomic.Value // text
}

// The server's interface requires all six.
func (l *logger) Noticef(format string, args ...any) { l.write("", format, args) }
func (l *logger) Warnf(format string, args ...any)   { l.write("warning: ", format, args) }
func (l *logger) Errorf(format string, args ...any)  { l.write("error: ", format, args) }
func (l *logger) Debugf(string, ...any)              {}
func (l *logger) Tracef(string, ...any)              {}

func (l *logger) Fatalf(format string, args ...any) {
	l.write("fatal: ", format, args)
	l.reason.Store(fmt.Sprintf(format, args...))
}

func (l *logger) write(level, format string, args []any) {
	if l.to != nil {
		fmt.Fprintf(l.to, level+format+"\n", args...)
	}
}

// fatal returns the fatal error, or "".
func (l *logger) fatal() string {
	reason, _ := l.reason.Load().(string)
	return reason
}
