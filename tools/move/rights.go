package move

import (
	"context"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// A superuser needs no right. Since PostgreSQL 16 another role can do with these; it is the one of
// the connection that makes, owns and drops all that a move makes.

// rights is a query for what the connection's role may not do, with the statement that lets it. $1
// is the module's owner, $2 whether the database is yet to be made, $3 whether its roles and schema
// are.
const rights = `SELECT what, replace(statement, '{role}', quote_ident(current_user)) FROM pg_roles AS me, LATERAL (VALUES
	('replicate', rolreplication, 'ALTER ROLE {role} REPLICATION'),
	('make a subscription', pg_has_role('pg_create_subscription', 'USAGE'), 'GRANT pg_create_subscription TO {role}'),
	('see the sessions of others', pg_has_role('pg_read_all_stats', 'USAGE'), 'GRANT pg_read_all_stats TO {role}'),
	('end the sessions of others', pg_has_role('pg_signal_backend', 'USAGE'), 'GRANT pg_signal_backend TO {role}'),
	('write rows before those that they refer to', has_parameter_privilege('session_replication_role', 'SET'),
		'GRANT SET ON PARAMETER session_replication_role TO {role}'),
	('make a database', NOT $2::boolean OR rolcreatedb, 'ALTER ROLE {role} CREATEDB'),
	('make anything in the database', $2 OR has_database_privilege(current_database(), 'CREATE'),
		'GRANT CREATE ON DATABASE ' || quote_ident(current_database()) || ' TO {role}'),
	('make the module''s roles, unless seam setup has', NOT $3::boolean OR rolcreaterole, 'ALTER ROLE {role} CREATEROLE'),
	('change the module''s roles, which are another''s', NOT $3 OR coalesce((SELECT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
		FROM pg_roles WHERE rolname = $1), true), 'run seam setup there as who has made them'),
	('act as the module''s owner', $3 OR (SELECT pg_has_role(oid, 'USAGE') AND pg_has_role(oid, 'SET')
		FROM pg_roles WHERE rolname = $1), 'GRANT ' || quote_ident($1) || ' TO {role}')
) AS needed (what, given, statement) WHERE rolname = current_user AND NOT coalesce(given, false)`

// missingRights returns what the roles of the two connections may not do, and a move does.
func (m Move) missingRights(ctx context.Context, p *Plan, source, target *side) error {
	sides := []*side{source, target}
	for i, s := range sides {
		var super bool
		if err := s.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&super); err != nil {
			return err
		}
		refuse := func(what, fix string) { p.Refusals = append(p.Refusals, Refusal{s.address, what, fix}) }
		switch {
		case super:
			continue
		case s.version < 160000:
			refuse(s.Config().User+" is no superuser, and before PostgreSQL 16 no other role can make a subscription", "name a superuser")
			continue
		}
		if other := sides[1-i]; !hasLogin(other.url) {
			p.Refusals = append(p.Refusals, Refusal{other.address, "its URL has no password, without which only a superuser's subscription may connect to it",
				"name one in the URL itself"})
		}
		created := s == target && !p.Exists
		made, err := s.exists(ctx, "SELECT FROM pg_namespace WHERE nspname = $1", m.Module)
		if err != nil {
			return err
		}
		rows, _ := s.Query(ctx, rights, m.owner(), created, created || !made) // ForEachRow returns the error
		var what, statement string
		if _, err := pgx.ForEachRow(rows, []any{&what, &statement}, func() error {
			refuse(fmt.Sprintf("%s may not %s", s.Config().User, what), statement)
			return nil
		}); err != nil {
			return err
		}
		if s == target {
			p.provided = made && !created
		}
		// It cannot read the passwords either, to give the target's roles the same.
		if (s == source || p.provided && !p.Seeded) && !m.hasPassword(ctx, s.url) {
			refuse("the role "+m.runtime()+" has another password than the one that was given, which only a superuser could copy",
				"set SEAM_ROLE_SECRET to what seam setup had")
		}
	}
	return nil
}

// hasLogin reports whether an address has a password, which another server cannot read from this
// one's environment or files.
func hasLogin(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	_, set := u.User.Password()
	return set || u.Query().Has("password")
}

// hasPassword reports whether the role that serves has the password there that the move was given.
func (m Move) hasPassword(ctx context.Context, address string) bool {
	conn, err := postgres.Connect(ctx, m.Roles.RuntimeURL(address, m.Module))
	if err != nil {
		return false
	}
	_ = conn.Close(ctx)
	return true
}
