package postgres

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Open returns the module's database, or ErrOutdated if its schema lacks one of the migrations. If
// the data has moved from the one that the URL names, it is the other one.
func Open(ctx context.Context, module, url string, maxConns int32, migrations fs.FS) (*DB, error) {
	db, err := open(ctx, module, module, url, maxConns)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	if err := check(ctx, db, migrations); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	return db, nil
}

func open(ctx context.Context, name, module, url string, maxConns int32) (*DB, error) {
	pool, err := openPool(ctx, name, module, url, maxConns)
	if err != nil {
		return nil, err
	}
	db := NewDB(module, pool)
	db.url = url
	waiting, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	if err := db.seek(waiting, db.home.Load()); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// OpenAnyVersion returns a pool of the module's home for a tool, without the check of the schema's
// version. name is the application_name of its connections.
func OpenAnyVersion(ctx context.Context, name, module, url string, maxConns int32) (*pgxpool.Pool, error) {
	db, err := open(ctx, name, module, url, maxConns)
	if err != nil {
		return nil, err
	}
	if other := db.other.Load(); other != nil {
		other.pool.Close()
	}
	return db.Pool(), nil
}

// openPool returns a pool of the database that the address names, home or not.
func openPool(ctx context.Context, name, module, address string, maxConns int32) (*pgxpool.Pool, error) {
	cfg, err := parsePool(name, address, maxConns)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.Tracer = otelpgx.NewTracer()
	if err := connectFirst(ctx, cfg.ConnConfig, module); err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}
