package architecture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/devkit/pgtest"
)

// schemas finds the modules in the tree, so that a new one is tested without anybody remembering to.
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
	if len(found) < 4 {
		t.Fatalf("only %d modules have migrations: the search is broken", len(found))
	}
	return found
}

// refused is PostgreSQL's insufficient_privilege.
const refused = "42501"

func TestARuntimeRoleReachesItsOwnRowsAndNothingElse(t *testing.T) {
	t.Parallel()
	modules := schemas(t)
	db := pgtest.New(t, modules...)
	other := pgtest.New(t, modules[0]) // another deployment on the same server, with roles of its own
	for _, own := range modules {
		t.Run(own.Module, func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), db.URL(own.Module))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.WithoutCancel(t.Context()))
			if _, err := conn.Exec(t.Context(), "SELECT count(*) FROM outbox"); err != nil {
				t.Errorf("its own outbox: %v", err)
			}
			for _, statement := range []string{
				"CREATE TABLE mine (id int)",
				"CREATE TABLE public.mine (id int)",
				"CREATE TEMP TABLE mine (id int)",
				"CREATE SCHEMA mine",
				"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
				"ALTER TABLE outbox ADD COLUMN extra int",
				"DROP TABLE outbox",
				"TRUNCATE outbox",
				"UPDATE module_version SET version_id = 0",
				"DELETE FROM platform_version",
				"CREATE INDEX ON outbox (topic)",
				"SET ROLE " + ownerOf(t, db, own.Module),
			} {
				mustRefuse(t, conn, statement)
			}
			for _, foreign := range modules {
				if foreign.Module == own.Module {
					continue
				}
				table := pgx.Identifier{foreign.Module, "outbox"}.Sanitize()
				for _, statement := range []string{
					"SELECT count(*) FROM " + table,
					"INSERT INTO " + table + " (id) VALUES (gen_random_uuid())",
					"UPDATE " + table + " SET key = ''",
					"DELETE FROM " + table,
					"CREATE TABLE " + pgx.Identifier{foreign.Module, "mine"}.Sanitize() + " (id int)",
					"SET ROLE " + ownerOf(t, db, foreign.Module),
				} {
					mustRefuse(t, conn, statement)
				}
			}
		})
		t.Run(own.Module+" in another database", func(t *testing.T) {
			t.Parallel()
			cfg, err := pgx.ParseConfig(db.URL(own.Module))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Database = other.Name
			conn, err := pgx.ConnectConfig(t.Context(), cfg)
			if err == nil {
				conn.Close(t.Context())
				t.Fatal("it may connect")
			}
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != refused {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

// ownerOf is the role that owns the module's schema, which differs from the runtime role in its last word.
func ownerOf(t *testing.T, db *pgtest.DB, module string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(db.URL(module))
	if err != nil {
		t.Fatal(err)
	}
	return pgx.Identifier{strings.TrimSuffix(cfg.User, "_rt") + "_owner"}.Sanitize()
}

func mustRefuse(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), statement)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != refused {
		t.Errorf("%s: got %v, want a refusal", statement, err)
	}
}
