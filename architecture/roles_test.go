package architecture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/devkit/pgtest"
)

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
	if len(found) < 4 {
		t.Fatalf("only %d modules have migrations: the search is broken", len(found))
	}
	return found
}

// refused is PostgreSQL's insufficient_privilege.
const refused = "42501"

func TestARuntimeRoleCanUseOnlyItsOwnRows(t *testing.T) {
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
			if found := within(t, conn, conn.Config().User, own.Module); len(found) > 0 {
				t.Errorf("it may use %s of other modules", strings.Join(found, ", "))
			}
			for _, foreign := range modules {
				if foreign.Module == own.Module {
					continue
				}
				for _, statement := range []string{
					"SELECT count(*) FROM " + pgx.Identifier{foreign.Module, "outbox"}.Sanitize(),
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

// What rule sql leaves to PostgreSQL is refused to the role that migrates a module.
func TestPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schemas(t)...)
	conn, err := pgx.Connect(t.Context(), db.MigrateURL("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range []string{
		"CREATE TABEL parcels ()",
		"SELECT name FROM suppliers",
		"SELECT on_hand FROM stock",
		"CREATE TABLE parcels (of stock)",
		"CREATE TABLE parcels (label citext)",
		"CREATE TABLE parcels (sku text REFERENCES products)",
		"ALTER TABLE lines ADD FOREIGN KEY (sku) REFERENCES inventory.products (sku)",
		"CREATE VIEW shelf AS SELECT sku FROM inventory.stock",
		"CREATE TABLE parcels (number bigint DEFAULT nextval('inventory.numbers'))",
		"SELECT has_table_privilege(current_user, 'payments.attempts', 'SELECT')",
		"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT on_hand FROM stock'",
		"CREATE EXTENSION dblink",
		"CREATE SERVER shop FOREIGN DATA WRAPPER postgres_fdw",
		"ALTER TABLE lines SET SCHEMA inventory",
	} {
		if _, err := conn.Exec(t.Context(), statement); err == nil {
			t.Errorf("%s: it is done", statement)
		}
	}
}

// within returns the schemas, tables and columns of other modules that a role may use.
func within(t *testing.T, db querier, role, own string) []string {
	t.Helper()
	rows, _ := db.Query(t.Context(), `
		SELECT format('%I.%I', n.nspname, c.relname),
			has_schema_privilege($1, n.oid, 'USAGE, CREATE') OR
			has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') OR
			has_table_privilege($1, c.oid, 'DELETE, TRUNCATE, TRIGGER')
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ($2, 'information_schema')
			AND n.nspname NOT LIKE 'pg\_%'`,
		role, own) // ForEachRow returns the error
	var found []string
	var table string
	var may bool
	tag, err := pgx.ForEachRow(rows, []any{&table, &may}, func() error {
		if may {
			found = append(found, table)
		}
		return nil
	})
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%d tables of other modules, error %v: the search is broken", tag.RowsAffected(), err)
	}
	return found
}

func TestWithinFindsRights(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schemas(t)...)
	rt := runtimeOf(t, db, "orders")
	for grant, want := range map[string]string{
		"GRANT UPDATE (on_hand) ON inventory.stock TO " + rt:       "inventory.stock",
		"GRANT TRUNCATE ON payments.attempts TO " + rt:             "payments.attempts",
		"GRANT USAGE ON SCHEMA notifications TO " + rt:             "notifications.messages",
		"GRANT " + ownerOf(t, db, "inventory") + " TO " + rt:       "inventory.stock",
		"GRANT SELECT (sku) ON inventory.stock TO PUBLIC":          "inventory.stock",
		"GRANT SELECT ON orders.lines TO " + rt + " /* its own */": "",
	} {
		tx, err := db.Admin(t).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), grant); err != nil {
			t.Errorf("%s: %v", grant, err)
		}
		if found := within(t, tx, strings.Trim(rt, `"`), "orders"); want == "" && len(found) > 0 ||
			want != "" && !slices.Contains(found, want) {
			t.Errorf("%s: found %q, want %q", grant, found, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// ownerOf returns the role that owns the module's schema, which differs from the runtime role in
// its suffix.
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
