package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connectTimeout bounds one attempt to reach the server, so that a start against a dead address fails soon and says so.
const connectTimeout = 5 * time.Second

// pingTimeout bounds the question whether a connection that rested in the pool is still alive; then the next one is tried.
const pingTimeout = time.Second

// Open returns the module's pool on its runtime role, with every query traced. It answers ErrOutdated when the schema is older
// than the migrations that the binary was built with.
func Open(ctx context.Context, module, url string, maxConns int32, migrations fs.FS) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	cfg.MaxConns = maxConns
	cfg.PingTimeout = pingTimeout
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.DialFunc = newDialer().DialContext
	cfg.ConnConfig.Tracer = otelpgx.NewTracer()
	cfg.ConnConfig.RuntimeParams["application_name"] = module
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	if err := check(ctx, pool, migrations); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open %s: %w", module, err)
	}
	return pool, nil
}
