package postgres_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// history is a module's migrations: the name of each file, and its statement.
func history(files map[string]string) fs.FS {
	all := fstest.MapFS{}
	for name, sql := range files {
		all[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return all
}

// A branch that is merged late adds a migration with a number below applied ones.
func TestAMigrationBelowTheLastIsMissed(t *testing.T) {
	t.Parallel()
	one, two, three := "CREATE TABLE one ();", "CREATE TABLE two ();", "CREATE TABLE three ();"
	before := history(map[string]string{"0001_one.sql": one, "0003_three.sql": three})
	db := pgtest.New(t, pgtest.Schema{Module: "late", Migrations: before})
	merged := history(map[string]string{"0001_one.sql": one, "0002_two.sql": two, "0003_three.sql": three})

	_, err := postgres.Open(t.Context(), "late", db.URL("late"), 1, merged)
	if !errors.Is(err, postgres.ErrOutdated) || !strings.Contains(err.Error(), "lacks [2]") {
		t.Errorf("open: %v", err)
	}
	err = postgres.Migrate(t.Context(), db.MigrateURL("late"), merged)
	expectUsage(t, "migrate", err, "0002_two.sql")
}

// A schema without the platform's tables is that of an earlier release, or of none, and not one
// that is between two databases.
func TestASchemaThatWasNeverMigratedIsOutdated(t *testing.T) {
	t.Parallel()
	migrations := history(map[string]string{"0001_one.sql": "CREATE TABLE one ();"})
	db := pgtest.New(t, pgtest.Schema{Module: "early", Migrations: migrations})
	if _, err := db.Admin(t).Exec(t.Context(), "DROP TABLE early.home, early.platform_version"); err != nil {
		t.Fatal(err)
	}

	if _, err := postgres.Open(t.Context(), "early", db.URL("early"), 1, migrations); !errors.Is(err, postgres.ErrOutdated) {
		t.Errorf("open: %v", err)
	}
}

// CREATE INDEX CONCURRENTLY that fails leaves an invalid index, which IF NOT EXISTS would accept.
func TestAnIndexThatIsNotValidIsNoSuccess(t *testing.T) {
	t.Parallel()
	table := "CREATE TABLE things AS SELECT 1 AS id FROM generate_series(1, 2);"
	before := history(map[string]string{"0001_things.sql": table})
	db := pgtest.New(t, pgtest.Schema{Module: "things", Migrations: before})
	index := "-- +goose NO TRANSACTION\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS things_id ON things (id);"
	migrations := history(map[string]string{"0001_things.sql": table, "0002_index.sql": index})
	for range 2 {
		if err := postgres.Migrate(t.Context(), db.MigrateURL("things"), migrations); err == nil {
			t.Error("a migration with an invalid index succeeds")
		}
	}
	err := postgres.Migrate(t.Context(), db.MigrateURL("things"), migrations)
	expectUsage(t, "migrate again", err, "things_id")
}
