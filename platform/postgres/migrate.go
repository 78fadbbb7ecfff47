package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"example.com/shop/platform/process"
)

// platformSchema holds the migrations of the tables that every module's schema has.
//
//go:embed schema/*.sql
var platformSchema embed.FS

// history is migrations that are counted in a version table of their own.
type history struct {
	name, versions string
	migrations     fs.FS
}

// histories returns those of a module's schema: the platform's tables first, then the module's own.
func histories(module fs.FS) []history {
	platform, err := fs.Sub(platformSchema, "schema")
	if err != nil {
		panic(err) // not with a valid name
	}
	return []history{{"platform", "platform_version", platform}, {"module", "module_version", module}}
}

// Migrate migrates the schema of the login's module: the platform's tables first, then the module's
// own. Replicas may call it at the same time; a lock makes them take turns.
func Migrate(ctx context.Context, migrateURL string, migrations fs.FS) error {
	cfg, err := parse(migrateURL)
	if err != nil {
		return fmt.Errorf("parse migrate connection: %w", err)
	}
	turn, err := connectSession(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer turn.Close(context.WithoutCancel(ctx)) // which releases the lock
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
	runtime := quote(strings.TrimSuffix(cfg.User, "_migrate") + "_rt")
	for _, h := range histories(migrations) {
		if err := up(ctx, db, h); err != nil {
			return fmt.Errorf("migrate %s tables: %w", h.name, err)
		}
		// A serving process may write all tables but these.
		if _, err := db.ExecContext(ctx, "REVOKE INSERT, UPDATE, DELETE ON home, marker, migrating, "+h.versions+" FROM "+runtime); err != nil { //nolint:gosec // our own names
			return fmt.Errorf("protect the versions: %w", err)
		}
		if _, err := db.ExecContext(ctx, "REVOKE UPDATE, DELETE ON audit FROM "+runtime); err != nil { //nolint:gosec // our own names
			return fmt.Errorf("protect the audit: %w", err)
		}
	}
	return nil
}

// takeTurn locks the schema until the connection closes: a table of its own, which only the
// module's owner can lock. It tries every 100 ms instead of waiting inside PostgreSQL, where CREATE
// INDEX CONCURRENTLY would wait in turn for the waiting statement's snapshot; an open transaction
// without a statement has none. (goose's own locker tries once a second, which adds up over four
// modules.)
func takeTurn(ctx context.Context, conn *pgx.Conn) error {
	for {
		mine, err := tryTurn(ctx, conn)
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

// tryTurn begins a transaction with the lock if it is free.
func tryTurn(ctx context.Context, conn *pgx.Conn) (mine bool, err error) {
	_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS migrating ()")
	if err == nil {
		_, err = conn.Exec(ctx, "BEGIN; LOCK TABLE migrating IN EXCLUSIVE MODE NOWAIT")
	}
	if err == nil {
		return true, nil
	}
	// 23505, 42P07 and 42710: another replica creates the table.
	if HasCode(err, "23505", "42P07", "42710", LockTimeout) {
		err = nil
	}
	_, failed := conn.Exec(ctx, "ROLLBACK")
	return false, errors.Join(err, failed)
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

func up(ctx context.Context, db *sql.DB, h history) error {
	provider, err := goose.NewProvider(goose.DialectPostgres, db, h.migrations,
		goose.WithTableName(h.versions), goose.WithDisableGlobalRegistry(true))
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

// check returns ErrOutdated unless the schema has every migration of this binary, not only the
// last: one that is numbered below applied ones may be missing, too. A newer schema is fine: the
// code before a migration can read it.
func check(ctx context.Context, db *DB, migrations fs.FS) error {
	for _, h := range histories(migrations) {
		want, err := versions(h.migrations)
		if err != nil {
			return err
		}
		var missing []int64
		err = db.QueryRow(ctx, "SELECT coalesce(array_agg(v ORDER BY v), '{}') FROM unnest($1::bigint[]) AS v"+
			" WHERE v NOT IN (SELECT version_id FROM "+h.versions+" WHERE is_applied)", want).Scan(&missing)
		if HasCode(err, undefinedTable) {
			missing, err = want, nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", h.versions, err)
		}
		if len(missing) > 0 {
			return fmt.Errorf("%w: %s lacks %v, which this binary needs: run its migrate verb", ErrOutdated, h.versions, missing)
		}
	}
	return nil
}

// undefinedTable is the SQLSTATE of a query to a schema that was not migrated.
const undefinedTable = "42P01"

// versions returns the numbers of files named 0001_what.sql.
func versions(migrations fs.FS) (numbers []int64, err error) {
	files, err := fs.Glob(migrations, "*.sql")
	for _, f := range files {
		number, err := goose.NumericComponent(f)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", f, err)
		}
		numbers = append(numbers, number)
	}
	return numbers, err
}
