package pgserver

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// announce prints the text unless the returned function is called within two seconds.
func announce(out io.Writer, text string) (done func()) {
	if out == nil {
		return func() {}
	}
	t := time.AfterFunc(2*time.Second, func() { fmt.Fprintln(out, text+" …") })
	return func() { t.Stop() }
}

// tail copies the log and keeps its last lines, which show why a start failed.
type tail struct {
	to io.Writer

	mu    sync.Mutex
	lines []string
}

func (t *tail) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines[max(0, len(t.lines)-19):], string(line))
	if t.to != nil {
		_, _ = t.to.Write(line)
	}
	return len(line), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}

// portTaken recognises the messages of PostgreSQL and of Docker.
func (t *tail) portTaken() bool {
	log := t.String()
	return strings.Contains(log, "could not bind") || strings.Contains(log, "already allocated") ||
		strings.Contains(log, "address already in use")
}
