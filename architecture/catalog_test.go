package architecture

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
)

// across finds dependencies between schemas in PostgreSQL's catalog, by any author and in any
// language. pg_depend has the foreign keys, views, triggers, defaults, types and all else that
// prevents one of two schemas from being dropped alone, but neither the bodies of functions nor
// rights, memberships and settings.
const across = `
WITH things (class, id, schema) AS (
    SELECT 'pg_class'::regclass, oid, relnamespace FROM pg_class
    UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
    UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
    UNION ALL SELECT 'pg_constraint'::regclass, oid, connamespace FROM pg_constraint
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
    UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_statistic_ext
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace FROM pg_ts_dict
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid, c.relnamespace
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE NOT tgisinternal
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, c.relnamespace
        FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, c.relnamespace
        FROM pg_attrdef AS d JOIN pg_class AS c ON c.oid = d.adrelid
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, c.relnamespace
        FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
), ours AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\_%'
), roles AS (
    -- Of this database alone: roles belong to the server, and another database on it has its own.
    SELECT oid, rolname, regexp_replace(rolname, '_(owner|migrate|rt)$', '') AS module FROM pg_roles
    WHERE rolname ~ '_(owner|migrate|rt)$'
        AND (oid IN (SELECT nspowner FROM pg_namespace) OR has_database_privilege(oid, current_database(), 'CONNECT'))
), rights (what, owner, acl) AS (
    SELECT c.relname || ' of ' || a.nspname, c.relowner, c.relacl
    FROM pg_class AS c JOIN ours AS a ON a.oid = c.relnamespace
    UNION ALL
    SELECT c.relname || '.' || t.attname || ' of ' || a.nspname, c.relowner, t.attacl
    FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid JOIN ours AS a ON a.oid = c.relnamespace
    UNION ALL SELECT 'the schema ' || nspname, nspowner, nspacl FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
    UNION ALL SELECT 'the function ' || p.proname || ' of ' || a.nspname, p.proowner, p.proacl
        FROM pg_proc AS p JOIN ours AS a ON a.oid = p.pronamespace
    UNION ALL SELECT 'the type ' || y.typname || ' of ' || a.nspname, y.typowner, y.typacl
        FROM pg_type AS y JOIN ours AS a ON a.oid = y.typnamespace
    UNION ALL SELECT 'what ' || pg_get_userbyid(defaclrole) || ' will make', defaclrole, defaclacl FROM pg_default_acl
), ties (what) AS (
    SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ' of ' || a.nspname ||
        ' depends on ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) || ' of ' || b.nspname
    FROM pg_depend AS d
    JOIN things AS t ON t.class = d.classid AND t.id = d.objid
    JOIN things AS u ON u.class = d.refclassid AND u.id = d.refobjid
    JOIN ours AS a ON a.oid = t.schema
    JOIN ours AS b ON b.oid = u.schema
    WHERE a.oid <> b.oid
    UNION ALL
    SELECT 'function ' || p.proname || ' of ' || a.nspname || ' names the schema ' || b.nspname
    FROM pg_proc AS p
    JOIN ours AS a ON a.oid = p.pronamespace
    JOIN ours AS b ON b.oid <> a.oid
        AND concat_ws(' ', p.prosrc, p.proconfig::text)
            ~* ('\m' || b.nspname || '\M"?\s*\.|search_path=.*\m' || b.nspname || '\M')
    UNION ALL
    SELECT what || ' may be used by ' || coalesce(r.rolname, 'PUBLIC')
    FROM rights
    CROSS JOIN LATERAL aclexplode(acl) AS acl
    LEFT JOIN pg_roles AS r ON r.oid = acl.grantee
    WHERE coalesce(r.rolname, '') NOT IN (
            pg_get_userbyid(owner), regexp_replace(pg_get_userbyid(owner), '_owner$', '_rt'))
        -- PUBLIC has EXECUTE and USAGE by default.
        AND (acl.grantee <> 0 OR acl.privilege_type NOT IN ('EXECUTE', 'USAGE') OR what LIKE 'the schema %')
    UNION ALL
    SELECT m.rolname || ' is a member of ' || pg_get_userbyid(g.roleid)
    FROM pg_auth_members AS g JOIN roles AS m ON m.oid = g.member
    WHERE m.rolname !~ '_migrate$' OR pg_get_userbyid(g.roleid) <> m.module || '_owner'
    UNION ALL
    SELECT coalesce(m.rolname, 'every role') || ' has the setting ' || setting
    FROM pg_db_role_setting AS s
    LEFT JOIN roles AS m ON m.oid = s.setrole
    CROSS JOIN LATERAL unnest(s.setconfig) AS setting
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND (m.oid IS NOT NULL OR s.setrole = 0)
        AND (setting ~ '^search_path=' AND coalesce(m.rolname, '')
                !~ ('(^|_)' || substring(setting FROM '=\W*(.*?)\W*$') || '_(migrate|rt)$')
            OR setting ~ '^role=' AND setting
                NOT IN ('role=' || m.module || '_owner', 'role="' || m.module || '_owner"'))
    UNION ALL
    SELECT 'the event trigger ' || evtname || ' is run by every schema' FROM pg_event_trigger
    UNION ALL
    SELECT 'the foreign server ' || srvname || ' connects to another database' FROM pg_foreign_server
)
SELECT DISTINCT what FROM ties ORDER BY what`

// TestTheCatalogHasNothingAcrossSchemas checks a database as in production, and one with each
// violation.
func TestTheCatalogHasNothingAcrossSchemas(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, neighbours(t)...)
	admin := db.Admin(t)
	t.Run("as migrated", func(t *testing.T) {
		for _, what := range ties(t, admin) {
			t.Errorf("the migrated database: %s\n"+
				"  instead: let each schema be independent, as if the others were on another server", what)
		}
		var inside int
		row := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_constraint WHERE contype = 'f'")
		if err := row.Scan(&inside); err != nil || inside == 0 {
			t.Errorf("%d foreign keys within schemas, error %v: the search is broken", inside, err)
		}
	})
	rt := runtimeOf(t, db, nearby.Module)
	for name, plant := range map[string]struct{ statement, want string }{
		"a foreign key": {"ALTER TABLE nearby.steps ADD CONSTRAINT lit FOREIGN KEY (lamp) REFERENCES faraway.lamps (lamp)",
			"constraint lit on table nearby.steps of nearby depends on column lamp of table faraway.lamps of faraway"},
		"a view": {"CREATE VIEW nearby.lit AS SELECT height FROM faraway.lamps",
			"rule _RETURN on view nearby.lit of nearby depends on"},
		"a trigger's function": {`CREATE FUNCTION faraway.seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER seen AFTER INSERT ON nearby.steps FOR EACH ROW EXECUTE FUNCTION faraway.seen()`,
			"trigger seen on table nearby.steps of nearby depends on function faraway.seen()"},
		"a default": {`ALTER TABLE nearby.steps ADD number bigint DEFAULT nextval('faraway.numbers')`,
			"of nearby depends on sequence faraway.numbers"},
		"a type": {"CREATE TYPE faraway.size AS ENUM ('small'); ALTER TABLE nearby.steps ADD size faraway.size",
			"column size of table nearby.steps of nearby depends on type faraway.size"},
		"a function with its body as a statement": {`CREATE FUNCTION nearby.left_of() RETURNS bigint
			BEGIN ATOMIC SELECT count(*) FROM faraway.lamps; END`,
			"function nearby.left_of() of nearby depends on table faraway.lamps"},
		"a function with its body as a string": {`CREATE FUNCTION nearby.left_of() RETURNS bigint LANGUAGE plpgsql AS
			'BEGIN RETURN (SELECT count(*) FROM faraway.lamps); END'`,
			"function left_of of nearby names the schema faraway"},
		"a function with another search_path": {`CREATE FUNCTION nearby.left_of() RETURNS bigint LANGUAGE sql
			SET search_path = faraway AS 'SELECT count(*) FROM lamps'`,
			"function left_of of nearby names the schema faraway"},
		"a table that inherits": {"CREATE TABLE nearby.more_lamps () INHERITS (faraway.lamps)",
			"table nearby.more_lamps of nearby depends on table faraway.lamps"},
		"rights of another module": {"GRANT SELECT ON faraway.lamps TO " + rt, "lamps of faraway may be used by"},
		"a way into another schema": {"GRANT USAGE ON SCHEMA faraway TO " + rt,
			"the schema faraway may be used by"},
		"a way in for PUBLIC": {"GRANT USAGE ON SCHEMA faraway TO PUBLIC",
			"the schema faraway may be used by PUBLIC"},
		"rights to a column": {"GRANT SELECT (lamp), UPDATE (height) ON faraway.lamps TO " + rt,
			"lamps.height of faraway may be used by"},
		"a function that acts as its owner": {`CREATE FUNCTION faraway.take() RETURNS bigint
			LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
			GRANT EXECUTE ON FUNCTION faraway.take() TO ` + rt, "the function take of faraway may be used by"},
		"rights to what will be made": {"ALTER DEFAULT PRIVILEGES FOR ROLE " + ownerOf(t, db, faraway.Module) +
			" IN SCHEMA faraway GRANT SELECT ON TABLES TO " + rt,
			"_faraway_owner will make may be used by"},
		"a member of another module": {"GRANT " + ownerOf(t, db, faraway.Module) + " TO " + rt,
			"_nearby_rt is a member of"},
		"a reader of all data": {"GRANT pg_read_all_data TO " + rt,
			"_nearby_rt is a member of pg_read_all_data"},
		"a role with another schema": {"ALTER ROLE " + rt + " SET search_path = nearby, faraway",
			"_nearby_rt has the setting search_path=nearby, faraway"},
		"a role that becomes another": {"ALTER ROLE " + rt + " SET role = " + ownerOf(t, db, faraway.Module),
			"_nearby_rt has the setting role="},
		"rights of PUBLIC": {"GRANT SELECT ON faraway.lamps TO PUBLIC",
			"lamps of faraway may be used by PUBLIC"},
		"a shared table": {"CREATE TABLE public.rates (id int PRIMARY KEY); ALTER TABLE nearby.steps ADD rate " +
			"int REFERENCES public.rates",
			"of nearby depends on column id of table rates of public"},
	} {
		t.Run("with "+name, func(t *testing.T) {
			tx, err := admin.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(t.Context()) }()
			if _, err := tx.Exec(t.Context(), plant.statement); err != nil {
				t.Fatal(err)
			}
			if found := strings.Join(ties(t, tx), "\n"); !strings.Contains(found, plant.want) {
				t.Errorf("found %q, want %q", found, plant.want)
			}
		})
	}
}

// querier is a connection, a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func ties(t *testing.T, db querier) []string {
	t.Helper()
	rows, _ := db.Query(t.Context(), across) // CollectRows returns the error
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}
