// Package pgtest gives each test a PostgreSQL database of its own, with the schemas and roles of production: what a
// role may not do there, it may not do here. A test that calls New can be parallel, and leaves nothing behind.
//
// The server is the one at TEST_DATABASE_URL, else a container if TEST_POSTGRES=docker (image TEST_POSTGRES_IMAGE), else
// one that this process starts from the local installation. The migrations run once, in a template database; a test
// gets a clone of it. Test processes that share a server share the template, too. It stays there for the next run.
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

// New returns a database with the platform's tables and the module's own in each schema. It is dropped when the test
// and its subtests are over, whoever is still connected.
func New(t testing.TB, schemas ...Schema) *DB {
	t.Helper()
	ctx := t.Context()
	server, err := serverURL()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	schemas = slices.SortedFunc(slices.Values(schemas), func(a, b Schema) int { return cmp.Compare(a.Module, b.Module) })
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
	// A clone has the template's tables and not its database-level grants.
	if err := postgres.Grant(ctx, db.adminURL, db.plan); err != nil {
		t.Fatalf("pgtest: grant on clone: %v", err)
	}
	return db
}

// URL is the module's runtime connection, for a test that starts a process.
func (db *DB) URL(module string) string { return db.plan.RuntimeURL(db.adminURL, module) }

// MigrateURL is the connection of the module's migrate verb.
func (db *DB) MigrateURL(module string) string { return db.plan.MigrateURL(db.adminURL, module) }

// AdminURL is the superuser's connection to this database.
func (db *DB) AdminURL() string { return db.adminURL }

// Module opens the module's database on its runtime role, and closes it with the test. Two calls
// give two, like two processes.
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
	closeWith(t, module, opened.Pool)
	return opened
}

// Admin is a superuser's pool for assertions across schemas, closed with the test. Its statements name the schema.
func (db *DB) Admin(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), db.adminURL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	closeWith(t, "admin", pool)
	return pool
}

// closeWith turns a connection that the test forgot somewhere into a failure, where Close alone would wait for ever.
func closeWith(t testing.TB, name string, pool *pgxpool.Pool) {
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Errorf("pgtest: %d connections of the pool %s are still in use after the test", pool.Stat().AcquiredConns(), name)
		}
	})
}

// drop has a context of its own: the test's is over.
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
