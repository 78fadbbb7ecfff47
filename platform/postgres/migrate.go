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

// platformSchema holds the migrations of the tables that every module's schema has.
//
//go:embed schema/*.sql
var platformSchema embed.FS

// Each schema has two version tables, so that platform and module count independently.
const (
	platformVersions = "platform_version"
	moduleVersions   = "module_version"
)

// Migrate migrates the schema of the login's module: the platform's tables first, then the module's
// own. Replicas may call it at the same time; a lock makes them take turns.
func Migrate(ctx context.Context, migrateURL string, migrations fs.FS) error {
	cfg, err := parse(migrateURL)
	if err != nil {
		return fmt.Errorf("parse migrate connection: %w", err)
	}
	turn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer turn.Close(context.WithoutCancel(ctx)) // which releases the lock
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
	// A serving process may write all tables but these.
	runtime := quote(strings.TrimSuffix(cfg.User, "_migrate") + "_rt")
	_, err = turn.Exec(ctx, "REVOKE INSERT, UPDATE, DELETE ON "+platformVersions+", "+moduleVersions+" FROM "+runtime)
	if err != nil {
		return fmt.Errorf("protect the versions: %w", err)
	}
	return nil
}

// takeTurn locks the schema until the connection closes. It tries every 100 ms instead of waiting
// inside PostgreSQL, where CREATE INDEX CONCURRENTLY would wait in turn for the waiting statement's
// snapshot. (goose's own locker tries once a second, which adds up over four modules.)
func takeTurn(ctx context.Context, conn *pgx.Conn) error {
	for {
		var mine bool
		err := conn.QueryRow(ctx,
			"SELECT pg_try_advisory_lock(hashtextextended('seam.migrate.' || current_schema(), 0))").Scan(&mine)
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

// refuseInvalidIndexes fails if a CREATE INDEX CONCURRENTLY that failed has left its index. IF NOT
// EXISTS would accept it, and the migration would count as done.
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
			return process.Usage(fmt.Errorf("%s is numbered below %s, which is applied already: "+
				"give it a higher number", late, s.Source.Path))
		}
	}
	_, err = provider.Up(ctx)
	return err
}

// ErrOutdated means that a schema is older than the code needs.
var ErrOutdated = process.Usage(errors.New("the schema is too old"))

// check returns ErrOutdated unless the schema has every migration of this binary. A newer schema is
// fine: the code before a migration can read it.
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

// checkVersion requires every migration of this binary, not only the last: one that is numbered
// below applied ones may be missing, too.
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
		return fmt.Errorf("%w: %s lacks %v, which this binary needs: run its migrate verb", ErrOutdated, table, missing)
	}
	return nil
}

// versions returns the numbers of files named 0001_what.sql.
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
