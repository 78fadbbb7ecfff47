package paymentssim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// record is one line of the journal, enough to restore an effect.
type record struct {
	At      time.Time `json:"at"`
	Request request   `json:"request"`
	Answer  answer    `json:"answer"`
}

// open restores the effects of the journal and cuts off an incomplete last line, never answered.
func (p *Provider) open(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return errors.Join(fmt.Errorf("read journal: %w", err), file.Close())
	}
	whole := int64(bytes.LastIndexByte(text, '\n') + 1)
	for line := range bytes.Lines(text[:whole]) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return errors.Join(fmt.Errorf("journal line %d: %w", len(p.ledger)+1, err), file.Close())
		}
		op := &operation{request: r.Request, settled: make(chan struct{})}
		p.enter(op, r)
		p.ops[r.Request.Key] = op
	}
	if err := file.Truncate(whole); err != nil {
		return errors.Join(fmt.Errorf("cut journal: %w", err), file.Close())
	}
	if _, err := file.Seek(whole, io.SeekStart); err != nil {
		return errors.Join(fmt.Errorf("continue journal: %w", err), file.Close())
	}
	p.journal = file
	return nil
}

// write writes a record before the answer is sent, so that a kill loses no answered effect.
func (p *Provider) write(r record) error {
	if p.journal == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = p.journal.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}
