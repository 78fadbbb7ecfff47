package child

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"time"
)

// maxLine limits the memory for a program that prints without line breaks.
const maxLine = 64 << 10

// output copies what a program prints to a writer, through its own pipe: with exec's, Wait would
// not return while any process that the program left behind holds the other end.
type output struct {
	r, w *os.File
	to   *lines
	done chan struct{}
}

// capture connects the program's stdout and stderr to the writer; nil without one.
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

// started closes this process's copy of the write end and begins to read.
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

// finish waits for the last line, but not long: a process that left the group may hold the pipe.
func (o *output) finish() {
	if o == nil {
		return
	}
	_ = o.r.SetReadDeadline(time.Now().Add(2 * time.Second))
	<-o.done
}

// lines writes whole lines with the prefix, each in one Write, so children's lines do not mix.
type lines struct {
	prefix string
	out    io.Writer
	rest   []byte // of an unfinished line
}

// Write never fails: a failed writer must not stop the program by a blocked pipe.
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
	_, _ = l.out.Write(full) // as in Write
}
