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
	if err := requireSession(ctx, turn); err != nil {
		return fmt.Errorf("migrate as %s: %w", cfg.User, err)
	}
	if err := inspect(ctx, turn, "", "_migrate"); err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	if err := takeTurn(ctx, turn); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	if err := refuseInvalidIndexes(ctx, turn); err != nil {
		return err
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

// refuseInvalidIndexes finds what a CREATE INDEX CONCURRENTLY left that failed. IF NOT EXISTS would
// take it for the index that it wants, and the migration for done.
func refuseInvalidIndexes(ctx context.Context, conn *pgx.Conn) error {
	var invalid []string
	err := conn.QueryRow(ctx, `
		SELECT coalesce(array_agg(c.relname), '{}') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace`).Scan(&invalid)
	if err != nil {
		return fmt.Errorf("look for invalid indexes: %w", err)
	}
	if len(invalid) > 0 {
		return process.Usage(fmt.Errorf("the indexes %v are not valid, because making them failed or still goes on: "+
			"DROP INDEX them, remove what they do not allow, and migrate again", invalid))
	}
	return nil
}

func up(ctx context.Context, db *sql.DB, table string, migrations fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	statuses, err := provider.Status(ctx)
	if err != nil {
		return err
	}
	late := ""
	for _, s := range statuses { // by number
		switch {
		case s.State == goose.StatePending && late == "":
			late = s.Source.Path
		case s.State == goose.StateApplied && late != "":
			// goose refuses it, too, and does not say what to do.
			return process.Usage(fmt.Errorf("%s is numbered below %s, which is applied already: give it a higher number", late, s.Source.Path))
		}
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

// checkVersion wants every migration of this binary to be applied, and not only the last: one that
// was numbered below others which are applied already is missing, too.
func checkVersion(ctx context.Context, pool *pgxpool.Pool, table string, migrations fs.FS) error {
	want, err := versions(migrations)
	if err != nil {
		return err
	}
	var missing []int64
	err = pool.QueryRow(ctx, "SELECT coalesce(array_agg(v ORDER BY v), '{}') FROM unnest($1::bigint[]) AS v"+
		" WHERE v NOT IN (SELECT version_id FROM "+table+" WHERE is_applied)", want).Scan(&missing)
	if HasCode(err, "42P01") { // undefined_table: never migrated
		missing, err = want, nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s lacks %v, which this binary needs; run its migrate verb first", ErrOutdated, table, missing)
	}
	return nil
}

// versions are the numbers of files named 0001_what.sql.
func versions(migrations fs.FS) ([]int64, error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return nil, err
	}
	var numbers []int64
	for _, f := range files {
		number, _, _ := strings.Cut(path.Base(f), "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s does not start with a number", f)
		}
		numbers = append(numbers, v)
	}
	return numbers, nil
}
