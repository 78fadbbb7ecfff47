package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// unfinished is what the name of a folder begins with in which seam new makes a product.
const unfinished = ".seam-new-"

var unfinishedName = regexp.MustCompile(`^\.seam-new-[0-9]+$`) // as os.MkdirTemp makes it

// hold takes the lock of a folder, which is gone with the last process that has the file open. It
// fails if another one has it.
func hold(folder string) (*os.File, error) {
	held, err := os.Open(folder) //nolint:gosec // our own
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = held.Close()
		return nil, err
	}
	return held, nil
}

// removeUnfinished removes what was being made in a folder by processes that are gone, as after
// kill -9.
func removeUnfinished(above string) error {
	entries, err := os.ReadDir(above)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() || !unfinishedName.MatchString(entry.Name()) {
			continue
		}
		folder := filepath.Join(above, entry.Name())
		held, err := hold(folder)
		if err != nil { // in use, or another user's
			continue
		}
		err = os.RemoveAll(folder)
		_ = held.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// removeEmpty removes a folder, and those above it up to one that stays, as long as they are empty.
func removeEmpty(folder, stays string) {
	for ; folder != stays; folder = filepath.Dir(folder) {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
