package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// publicRights selects the statements that revoke what PUBLIC, which is every role of the server,
// may do in the current database and in its schema public. So may it by large objects, which belong
// to no schema: through them one role could hand data to another.
const publicRights = `
	WITH rights (kind, name, acl) AS (
		SELECT 'DATABASE', quote_ident(datname), coalesce(datacl, acldefault('d', datdba))
			FROM pg_database WHERE datname = current_database()
		UNION ALL SELECT 'SCHEMA', 'public', coalesce(nspacl, acldefault('n', nspowner))
			FROM pg_namespace WHERE nspname = 'public'
		UNION ALL SELECT 'TABLE', 'pg_catalog.pg_largeobject', relacl
			FROM pg_class WHERE oid = 'pg_catalog.pg_largeobject'::regclass
		UNION ALL SELECT 'FUNCTION', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
			FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
			AND (starts_with(proname, 'lo_') OR proname IN ('loread', 'lowrite')))
	SELECT format('REVOKE %s ON %s %s FROM PUBLIC', string_agg(DISTINCT privilege_type, ', '), kind, string_agg(DISTINCT name, ', '))
	FROM rights, aclexplode(acl) WHERE grantee = 0 GROUP BY kind ORDER BY kind`

// connecting selects the statement that lets roles connect that may not, or only as PUBLIC may.
const connecting = `
	SELECT format('GRANT CONNECT ON DATABASE %I TO %s', current_database(), string_agg(quote_ident(rolname), ', ' ORDER BY rolname))
	FROM pg_roles WHERE rolname = ANY($1) AND NOT EXISTS (
		SELECT FROM pg_database, aclexplode(datacl)
		WHERE datname = current_database() AND grantee = pg_roles.oid AND privilege_type = 'CONNECT')
	HAVING count(*) > 0`

// LeftToOwner returns the statements that Provision may not run as this admin, but the database's
// owner may, or only a superuser: they let the roles connect, and revoke what PUBLIC may still do.
func LeftToOwner(ctx context.Context, adminURL string, plan Plan) (statements []string, err error) {
	err = asAdminTx(ctx, adminURL, func(tx pgx.Tx) error {
		grant, err := statementsOf(ctx, tx, connecting, plan.logins())
		if err != nil {
			return err
		}
		revoke, err := statementsOf(ctx, tx, publicRights)
		statements = append(grant, revoke...)
		return err
	})
	return statements, err
}

func statementsOf(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]string, error) {
	rows, _ := tx.Query(ctx, query, args...) // CollectRows returns the error
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// lockDownTx revokes what PUBLIC may do and the admin may revoke.
func lockDownTx(ctx context.Context, tx pgx.Tx) error {
	statements, err := statementsOf(ctx, tx, publicRights)
	if err != nil {
		return err
	}
	for _, revoke := range statements {
		// PostgreSQL only warns an admin who has some right there, but may not revoke this one.
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, revoke)
			return err
		})
		if err != nil && !HasCode(err, "42501") { // insufficient_privilege
			return err
		}
	}
	return nil
}
