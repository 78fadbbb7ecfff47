package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"example.com/shop/platform/process"
)

// platformSchema holds the tables that every module's schema has: outbox, inbox, failed, bus, idempotency_keys.
//
//go:embed schema/*.sql
var platformSchema embed.FS

// Each schema counts the platform's versions and the module's own apart, so that neither waits for the other's numbers.
const (
	platformVersions = "platform_version"
	moduleVersions   = "module_version"
)

// Migrate brings the schema of the login's module up to date: the platform's tables first, then the module's own
// migrations. Several replicas may call it at once: they take turns.
func Migrate(ctx context.Context, migrateURL string, migrations fs.FS) error {
	cfg, err := parse(migrateURL)
	if err != nil {
		return fmt.Errorf("parse migrate connection: %w", err)
	}
	turn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer turn.Close(context.WithoutCancel(ctx)) // and so give the lock back
	if err := inspect(ctx, turn, "", "_migrate"); err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	if err := takeTurn(ctx, turn); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	platform, err := fs.Sub(platformSchema, "schema")
	if err != nil {
		return err
	}
	if err := up(ctx, db, platformVersions, platform); err != nil {
		return fmt.Errorf("migrate platform tables: %w", err)
	}
	if err := up(ctx, db, moduleVersions, migrations); err != nil {
		return fmt.Errorf("migrate module tables: %w", err)
	}
	// Which version a schema has is not for the serving process to say, though it may write all other tables.
	runtime := quote(strings.TrimSuffix(cfg.User, "_migrate") + "_rt")
	_, err = turn.Exec(ctx, "REVOKE INSERT, UPDATE, DELETE ON "+platformVersions+", "+moduleVersions+" FROM "+runtime)
	if err != nil {
		return fmt.Errorf("protect the versions: %w", err)
	}
	return nil
}

// takeTurn holds a lock of the schema until the connection closes. It asks every 100 ms instead of waiting inside
// PostgreSQL, because a waiting statement keeps a snapshot that CREATE INDEX CONCURRENTLY would wait for in turn. (goose's own
// locker asks once a second at the most, which adds up over four modules.)
func takeTurn(ctx context.Context, conn *pgx.Conn) error {
	for {
		var mine bool
		err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended('seam.migrate.' || current_schema(), 0))").Scan(&mine)
		if mine || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func up(ctx context.Context, db *sql.DB, table string, migrations fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// ErrOutdated says that a schema is older than the code that wants to use it.
var ErrOutdated = process.Usage(errors.New("the schema is too old"))

// check answers ErrOutdated unless the schema has at least the versions that this binary was built with. A newer schema is
// fine: migrations are readable by the code before them.
func check(ctx context.Context, pool *pgxpool.Pool, migrations fs.FS) error {
	platform, err := fs.Sub(platformSchema, "schema")
	if err != nil {
		return err
	}
	if err := checkVersion(ctx, pool, platformVersions, platform); err != nil {
		return err
	}
	return checkVersion(ctx, pool, moduleVersions, migrations)
}

func checkVersion(ctx context.Context, pool *pgxpool.Pool, table string, migrations fs.FS) error {
	want, err := latest(migrations)
	if err != nil {
		return err
	}
	var have int64
	err = pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+table).Scan(&have)
	if err != nil && !hasCode(err, "42P01") { // undefined_table: never migrated
		return fmt.Errorf("read %s: %w", table, err)
	}
	if have < want {
		return fmt.Errorf("%w: %s is at %d and this binary needs %d; run its migrate verb first", ErrOutdated, table, have, want)
	}
	return nil
}

// latest is the highest number among files named 0001_what.sql.
func latest(migrations fs.FS) (int64, error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	var highest int64
	for _, f := range files {
		number, _, _ := strings.Cut(path.Base(f), "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s does not start with a number", f)
		}
		highest = max(highest, v)
	}
	return highest, nil
}
