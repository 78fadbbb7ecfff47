package postgres

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Open returns the module's database, or ErrOutdated if its schema lacks one of the migrations.
func Open(ctx context.Context, module, url string, maxConns int32, migrations fs.FS) (*DB, error) {
	pool, err := OpenAnyVersion(ctx, module, module, url, maxConns)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	if err := check(ctx, pool, migrations); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	return &DB{Pool: pool, Module: module}, nil
}

// OpenAnyVersion is Open for a tool, without the check of the schema's version. name is the
// application_name of its connections.
func OpenAnyVersion(ctx context.Context, name, module, url string, maxConns int32) (*pgxpool.Pool, error) {
	cfg, err := parsePool(name, url, maxConns)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.Tracer = otelpgx.NewTracer()
	if err := chooseExecMode(ctx, cfg.ConnConfig); err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := inspect(ctx, pool, module, "_rt"); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}
