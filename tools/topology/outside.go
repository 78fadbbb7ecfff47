package topology

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.com/shop/platform/devkit/child"
)

// Outside is the external systems, simulated by the program sandbox. They run in a process of their
// own, so that a system that is killed finds them as they were. It is empty without that program.
type Outside struct {
	*child.Process
	Settings []string // that lead to them, as NAME=value
}

// Setting returns a setting's value.
func (o Outside) Setting(name string) string {
	for _, setting := range o.Settings {
		if value, ok := strings.CutPrefix(setting, name+"="); ok {
			return value
		}
	}
	return ""
}

// startOutside starts the program sandbox, if there is one, and waits until it has written which
// settings lead to it.
func (s *System) startOutside(ctx context.Context) error {
	program := filepath.Join(s.options.Bin, "sandbox")
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file := filepath.Join(s.options.State, "outside.env")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := child.Start(child.Options{
		Name: "sandbox", Path: program, Args: []string{"serve", "--free-ports", "--write", file},
		Env: append(append(ambient(), s.options.Env...), "SEAM_STATE="+s.options.State), Out: s.options.Out,
	})
	if err != nil {
		return err
	}
	s.Outside.Process = p
	s.closers = append(s.closers, func() error { return p.Stop(stopGrace) })
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return p.Await(ctx, 5*time.Millisecond, func(context.Context) error {
		text, err := os.ReadFile(file) //nolint:gosec // which is ours
		s.Outside.Settings = strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
		return err
	})
}
