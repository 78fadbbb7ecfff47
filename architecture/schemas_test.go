package architecture

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
)

// nearby and faraway are modules of no product. With them each module has neighbours, and every
// violation its table, whatever else the tree has.
var (
	nearby = pgtest.Schema{Module: "nearby", Migrations: migration(`
		CREATE TABLE walks (id bigint PRIMARY KEY);
		CREATE TABLE steps (walk bigint REFERENCES walks, lamp text);`)}
	faraway = pgtest.Schema{Module: "faraway", Migrations: migration(`
		CREATE TABLE lamps (lamp text PRIMARY KEY, height bigint);
		CREATE TABLE posts (id bigint PRIMARY KEY);
		CREATE SEQUENCE numbers;`)}
)

func migration(text string) fs.FS {
	return fstest.MapFS{"0001_tables.sql": {Data: []byte("-- +goose Up\n" + text)}}
}

// schemas returns the modules of the tree, so that a new one is tested without a change here.
func schemas(t *testing.T) []pgtest.Schema {
	t.Helper()
	if testing.Short() {
		t.Skip("it needs PostgreSQL")
	}
	folders, err := filepath.Glob(filepath.Join(root, "migrations", "*", "0001_*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var found []pgtest.Schema
	for _, f := range folders {
		dir := filepath.Dir(f)
		found = append(found, pgtest.Schema{Module: filepath.Base(dir), Migrations: os.DirFS(dir)})
	}
	if want := len(Modules()); len(found) < want || want == 0 {
		t.Fatalf("%d of %d modules have migrations: the search is broken", len(found), want)
	}
	return found
}

// neighbours returns the modules of the tree, nearby and faraway.
func neighbours(t *testing.T) []pgtest.Schema {
	t.Helper()
	return append(schemas(t), nearby, faraway)
}

// runtimeOf returns the role of the module's process.
func runtimeOf(t *testing.T, db *pgtest.DB, module string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(db.URL(module))
	if err != nil {
		t.Fatal(err)
	}
	return pgx.Identifier{cfg.User}.Sanitize()
}

// ownerOf returns the role that owns the module's schema, which differs from the runtime role in
// its suffix.
func ownerOf(t *testing.T, db *pgtest.DB, module string) string {
	t.Helper()
	return strings.TrimSuffix(runtimeOf(t, db, module), `_rt"`) + `_owner"`
}
