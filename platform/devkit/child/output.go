package child

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"time"
)

// maxLine bounds the memory of a program that prints without ever ending a line.
const maxLine = 64 << 10

// output carries what a program prints to a writer of this process, through a pipe of its own: exec's would keep
// Wait from returning while anything that the program left behind still holds the other end.
type output struct {
	r, w *os.File
	to   *lines
	done chan struct{}
}

// capture connects the program's stdout and stderr; nothing is captured for nobody.
func capture(cmd *exec.Cmd, prefix string, to io.Writer) (*output, error) {
	if to == nil {
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	return &output{r: r, w: w, to: &lines{prefix: prefix, out: to}, done: make(chan struct{})}, nil
}

// started leaves the write end to the program alone, also to one that could not start, and begins to read.
func (o *output) started() {
	if o == nil {
		return
	}
	o.w.Close()
	go func() {
		defer close(o.done)
		_, _ = io.Copy(o.to, o.r)
		o.to.flush()
		o.r.Close()
	}()
}

// finish waits until the last line is passed on, but not for long: a process that left the group may hold the pipe.
func (o *output) finish() {
	if o == nil {
		return
	}
	_ = o.r.SetReadDeadline(time.Now().Add(2 * time.Second))
	<-o.done
}

// lines passes on whole lines, each with the prefix and in one Write, so that children sharing a terminal do not cut
// into each other's lines.
type lines struct {
	prefix string
	out    io.Writer
	rest   []byte // the line that has not ended yet
}

// Write never fails: a reader that went away must not stop the program by a blocked pipe.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		if end < 0 {
			end = len(l.rest)
		}
		l.print(l.rest[:end])
		l.rest = l.rest[min(end+1, len(l.rest)):]
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.print(l.rest)
		l.rest = nil
	}
}

func (l *lines) print(line []byte) {
	full := make([]byte, 0, len(l.prefix)+len(line)+1)
	full = append(append(append(full, l.prefix...), line...), '\n')
	_, _ = l.out.Write(full) // a screen that is gone must not end the program
}
