package topology

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	inventorymigrations "example.com/shop/migrations/inventory"
	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/postgres"
)

// migrate migrates each schema with the command that will serve it, since the monolith may no
// longer link a module that was split off. Then it seeds inventory.
func (s *Shop) migrate(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	for _, m := range s.options.Split {
		group.Go(func() error { return s.runMigrate(groupCtx, m) })
	}
	if rest := s.rest(); len(rest) > 0 {
		group.Go(func() error { return s.runMigrate(groupCtx, "monolith", "MODULES="+strings.Join(rest, ",")) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return Seed(ctx, s.Plan.MigrateURL(s.AdminURL, "inventory"))
}

func (s *Shop) runMigrate(ctx context.Context, command string, env ...string) error {
	p, err := child.Start(child.Options{
		Name: "migrate", Path: filepath.Join(s.options.Bin, command), Args: []string{"migrate"},
		Env: s.env(env...), Out: s.options.Out,
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.Stop(0) })()
	if err := p.Err(); err != nil {
		return fmt.Errorf("%s migrate: %w", command, errors.Join(ctx.Err(), err))
	}
	return nil
}

func (s *Shop) rest() []string {
	return slices.DeleteFunc(slices.Clone(Modules), func(m string) bool { return slices.Contains(s.options.Split, m) })
}

// Seed inserts the sample products. Those that exist already stay as they are.
func Seed(ctx context.Context, inventoryMigrateURL string) error {
	conn, err := postgres.Connect(ctx, inventoryMigrateURL)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, inventorymigrations.Seed); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}
