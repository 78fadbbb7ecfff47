// Package output keeps what programs and loggers print, for tests that look at it.
package output

import (
	"strings"
	"sync"
)

// Text keeps all that is written to it, by any number of writers at once.
type Text struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String returns what was written so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
