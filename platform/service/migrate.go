package service

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// migrate migrates all schemas concurrently; any number of replicas may do it at once.
func (p Program[C]) migrate(ctx context.Context, _ []string) error {
	return p.each(ctx, func(ctx context.Context, module, url string) error {
		if err := postgres.Migrate(ctx, url, p.Migrations[module]); err != nil {
			return err
		}
		return events.RecordModules(ctx, url)
	})
}

// seed runs the scripts seed/*.sql beside each module's migrations.
func (p Program[C]) seed(ctx context.Context, _ []string) error {
	return p.each(ctx, func(ctx context.Context, module, url string) error {
		scripts, err := fs.Glob(p.Migrations[module], "seed/*.sql")
		if err != nil || len(scripts) == 0 {
			return err
		}
		conn, err := postgres.Connect(ctx, url)
		if err != nil {
			return fmt.Errorf("seed %s: %w", module, err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		var elsewhere string // the owner passes the fence of a move
		err = conn.QueryRow(ctx, "SELECT coalesce((SELECT elsewhere FROM home WHERE singleton AND state <> 'home'), '')").Scan(&elsewhere)
		if err != nil {
			return fmt.Errorf("seed %s: %w", module, err)
		}
		if elsewhere != "" {
			return process.Usage(fmt.Errorf("seed %[1]s: its data is in %[2]s: set %[3]s_MIGRATE_URL to that", module, elsewhere, strings.ToUpper(module)))
		}
		for _, script := range scripts {
			text, err := fs.ReadFile(p.Migrations[module], script)
			if err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, string(text)); err != nil {
				return fmt.Errorf("seed %s: %s: %w", module, script, err)
			}
		}
		return nil
	})
}

// each runs do for each module that the program serves, concurrently, with its MIGRATE_URL.
func (p Program[C]) each(ctx context.Context, do func(ctx context.Context, module, url string) error) error {
	urls, err := p.urls("MIGRATE_URL")
	if err != nil {
		return err
	}
	if _, err := process.Guard(addresses{"MIGRATE_URL", urls}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for module, url := range urls {
		group.Go(func() error { return do(ctx, module, url) })
	}
	return group.Wait()
}
