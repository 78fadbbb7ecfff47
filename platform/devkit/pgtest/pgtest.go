// Package pgtest creates a PostgreSQL database for each test, with production's schemas, roles and
// rights. A test that calls New can be parallel.
//
// The server is the one at TEST_DATABASE_URL, else a container if TEST_POSTGRES=docker (image
// TEST_POSTGRES_IMAGE), else one that this process starts from the local installation. The
// migrations run once, in a template database that each test clones. Test processes on one server
// share the template, which is kept for the next run.
package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/postgres"
)

// Schema is a module's part of the database.
type Schema struct {
	Module     string
	Migrations fs.FS
}

// DB is one test's database.
type DB struct {
	Name string

	adminURL string
	plan     postgres.Plan
	schemas  []Schema
}

// New returns a database with the platform's and the module's tables in each schema. It is dropped
// after the test and its subtests, even if clients are still connected.
func New(t testing.TB, schemas ...Schema) *DB {
	t.Helper()
	ctx := t.Context()
	server, err := serverURL()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	byModule := func(a, b Schema) int { return cmp.Compare(a.Module, b.Module) }
	schemas = slices.SortedFunc(slices.Values(schemas), byModule)
	template, err := newTemplate(server, schemas)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := template.prefix + strings.ToLower(rand.Text()[:12])
	if err := template.clone(ctx, name); err != nil {
		t.Fatalf("pgtest: clone %s: %v", template.name, err)
	}
	db := &DB{Name: name, adminURL: postgres.WithDatabase(server, name), plan: template.plan, schemas: schemas}
	t.Cleanup(func() { drop(t, server, name) })
	// A clone does not have the template's database-level grants.
	if err := postgres.Grant(ctx, db.adminURL, db.plan); err != nil {
		t.Fatalf("pgtest: grant on clone: %v", err)
	}
	return db
}

// URL returns the module's runtime connection string, for a test that starts a process.
func (db *DB) URL(module string) string { return db.plan.RuntimeURL(db.adminURL, module) }

// MigrateURL returns the connection string for the module's migrate verb.
func (db *DB) MigrateURL(module string) string { return db.plan.MigrateURL(db.adminURL, module) }

// AdminURL returns the superuser's connection string for this database.
func (db *DB) AdminURL() string { return db.adminURL }

// Module opens the module's database with its runtime role, and closes it after the test. Each call
// opens another, as another process would.
func (db *DB) Module(t testing.TB, module string) *postgres.DB {
	t.Helper()
	i := slices.IndexFunc(db.schemas, func(s Schema) bool { return s.Module == module })
	if i < 0 {
		t.Fatalf("pgtest: New was not given a schema of %s", module)
	}
	opened, err := postgres.Open(t.Context(), module, db.URL(module), 10, db.schemas[i].Migrations)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	closeWith(t, module, opened.Pool())
	return opened
}

// Admin returns a superuser's pool for assertions across schemas, closed after the test.
func (db *DB) Admin(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), db.adminURL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	closeWith(t, "admin", pool)
	return pool
}

// closeWith fails a test that has not released a connection; Close alone would wait forever.
func closeWith(t testing.TB, name string, pool *pgxpool.Pool) {
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Errorf("pgtest: %d connections of pool %s are in use after the test", pool.Stat().AcquiredConns(), name)
		}
	})
}

// drop uses its own context: the test's has ended.
func drop(t testing.TB, server, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err == nil {
		_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		conn.Close(ctx)
	}
	if err != nil {
		t.Errorf("pgtest: drop %s: %v", name, err)
	}
}
