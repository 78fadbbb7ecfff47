package topology

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/devkit/child"
)

// migrate migrates each schema with the command that will serve it, which may be one of the last
// release, and then inserts the sample data.
func (s *System) migrate(ctx context.Context) error {
	if err := s.runEach(ctx, "migrate", s.options.Split); err != nil {
		return err
	}
	return s.runEach(ctx, "seed", s.gone)
}

// runEach runs a verb of each module's own command, for those in alone, and of the monolith for the
// others.
func (s *System) runEach(ctx context.Context, verb string, alone []string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range alone {
		group.Go(func() error { return s.run(ctx, m, verb, []string{m}) })
	}
	if rest := except(alone); len(rest) > 0 {
		group.Go(func() error { return s.run(ctx, "monolith", verb, rest, "MODULES="+strings.Join(rest, ",")) })
	}
	return group.Wait()
}

func (s *System) run(ctx context.Context, command, verb string, modules []string, env ...string) error {
	p, err := child.Start(child.Options{
		Name: verb, Path: filepath.Join(s.options.Bin, command), Args: strings.Fields(verb),
		Env: s.env(verb, modules, env...), Out: s.options.Out,
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.Stop(0) })()
	if err := p.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", command, verb, errors.Join(ctx.Err(), err))
	}
	return nil
}

// except returns the modules that are not in the list.
func except(list []string) []string {
	return slices.DeleteFunc(slices.Clone(Modules), func(m string) bool { return slices.Contains(list, m) })
}
