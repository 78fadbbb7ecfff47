package broker

import (
	"fmt"
	"io"
	"sync"
)

// logger writes what an operator should know, a line each, and remembers the last complaint for an error.
type logger struct {
	to io.Writer

	mu        sync.Mutex
	complaint string
}

// The server's interface asks for all six.
func (l *logger) Noticef(format string, args ...any) { l.write("", format, args) }
func (l *logger) Warnf(format string, args ...any)   { l.write("warning: ", format, args) }
func (l *logger) Errorf(format string, args ...any)  { l.complain("error: ", format, args) }
func (l *logger) Fatalf(format string, args ...any)  { l.complain("fatal: ", format, args) }
func (l *logger) Debugf(string, ...any)              {}
func (l *logger) Tracef(string, ...any)              {}

func (l *logger) write(level, format string, args []any) {
	if l.to != nil {
		fmt.Fprintf(l.to, level+format+"\n", args...)
	}
}

func (l *logger) complain(level, format string, args []any) {
	l.write(level, format, args)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complaint = fmt.Sprintf(format, args...)
}

func (l *logger) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.complaint
}
