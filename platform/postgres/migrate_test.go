package postgres_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// history is a module's migrations: the name of each file, and its statement.
func history(files map[string]string) fs.FS {
	all := fstest.MapFS{}
	for name, sql := range files {
		all[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return all
}

// A branch that is merged late brings a migration with a number below those that are applied.
func TestAMigrationBelowTheLastIsMissed(t *testing.T) {
	t.Parallel()
	one, two, three := "CREATE TABLE one ();", "CREATE TABLE two ();", "CREATE TABLE three ();"
	db := pgtest.New(t, pgtest.Schema{Module: "late", Migrations: history(map[string]string{"0001_one.sql": one, "0003_three.sql": three})})
	merged := history(map[string]string{"0001_one.sql": one, "0002_two.sql": two, "0003_three.sql": three})

	_, err := postgres.Open(t.Context(), "late", db.URL("late"), 1, merged)
	if !errors.Is(err, postgres.ErrOutdated) || !strings.Contains(err.Error(), "lacks [2]") {
		t.Errorf("serving begins with %v", err)
	}
	err = postgres.Migrate(t.Context(), db.MigrateURL("late"), merged)
	if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "0002_two.sql") {
		t.Errorf("migrating answers %v", err)
	}
}

// CREATE INDEX CONCURRENTLY that fails leaves an index that serves nothing, and IF NOT EXISTS takes
// it for done the next time.
func TestAnIndexThatIsNotValidIsNoSuccess(t *testing.T) {
	t.Parallel()
	table := "CREATE TABLE things AS SELECT 1 AS id FROM generate_series(1, 2);"
	db := pgtest.New(t, pgtest.Schema{Module: "things", Migrations: history(map[string]string{"0001_things.sql": table})})
	index := "-- +goose NO TRANSACTION\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS things_id ON things (id);"
	migrations := history(map[string]string{"0001_things.sql": table, "0002_index.sql": index})
	for range 2 {
		if err := postgres.Migrate(t.Context(), db.MigrateURL("things"), migrations); err == nil {
			t.Error("a migration succeeds whose index is not valid")
		}
	}
	err := postgres.Migrate(t.Context(), db.MigrateURL("things"), migrations)
	if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "things_id") {
		t.Errorf("migrating again answers %v", err)
	}
}
