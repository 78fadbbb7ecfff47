package faults

import "sync"

// journal keeps the end of the processes' logs, to show it when a cell has failed.
type journal struct {
	mu   sync.Mutex
	text []byte
}

// journalSize is how much is shown.
const journalSize = 16 << 10

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, line...)
	if len(j.text) > 4*journalSize { // not with every line
		j.text = append([]byte(nil), j.text[len(j.text)-journalSize:]...)
	}
	return len(line), nil
}

func (j *journal) end() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text[max(0, len(j.text)-journalSize):])
}
