package architecture

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// refused is PostgreSQL's insufficient_privilege.
const refused = "42501"

func TestARuntimeRoleCanUseOnlyItsOwnRows(t *testing.T) {
	t.Parallel()
	modules := neighbours(t)
	db := pgtest.New(t, modules...)
	other := pgtest.New(t, modules[0]) // another deployment on the same server, with roles of its own
	for _, own := range modules {
		t.Run(own.Module, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, db.URL(own.Module))
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
			if !postgres.HasCode(err, refused) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

// What rule sql leaves to PostgreSQL is refused to the role that migrates a module.
func TestPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, neighbours(t)...)
	conn := connect(t, db.MigrateURL(nearby.Module))
	for _, statement := range []string{
		"CREATE TABEL parcels ()",
		"SELECT name FROM owners",
		"SELECT height FROM lamps",
		"CREATE TABLE parcels (of lamps)",
		"CREATE TABLE parcels (label citext)",
		"CREATE TABLE parcels (lamp text REFERENCES lamps)",
		"ALTER TABLE steps ADD FOREIGN KEY (lamp) REFERENCES faraway.lamps (lamp)",
		"CREATE VIEW lit AS SELECT lamp FROM faraway.lamps",
		"CREATE TABLE parcels (number bigint DEFAULT nextval('faraway.numbers'))",
		"SELECT has_table_privilege(current_user, 'faraway.posts', 'SELECT')",
		"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT height FROM lamps'",
		"CREATE EXTENSION dblink",
		"CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw",
		"ALTER TABLE steps SET SCHEMA faraway",
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
	db := pgtest.New(t, neighbours(t)...)
	rt := runtimeOf(t, db, nearby.Module)
	for grant, want := range map[string]string{
		"GRANT UPDATE (height) ON faraway.lamps TO " + rt:          "faraway.lamps",
		"GRANT TRUNCATE ON faraway.posts TO " + rt:                 "faraway.posts",
		"GRANT USAGE ON SCHEMA faraway TO " + rt:                   "faraway.outbox",
		"GRANT " + ownerOf(t, db, faraway.Module) + " TO " + rt:    "faraway.lamps",
		"GRANT SELECT (lamp) ON faraway.lamps TO PUBLIC":           "faraway.lamps",
		"GRANT SELECT ON nearby.steps TO " + rt + " /* its own */": "",
	} {
		tx, err := db.Admin(t).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), grant); err != nil {
			t.Errorf("%s: %v", grant, err)
		}
		if found := within(t, tx, strings.Trim(rt, `"`), nearby.Module); want == "" && len(found) > 0 ||
			want != "" && !slices.Contains(found, want) {
			t.Errorf("%s: found %q, want %q", grant, found, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func mustRefuse(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); !postgres.HasCode(err, refused) {
		t.Errorf("%s: got %v, want a refusal", statement, err)
	}
}
