package move

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// The fence is in the rights, and nowhere else: a proxy can be passed by, a session can overrule a
// default, and a table lock deadlocks with writers. A REVOKE takes no lock on the table, and every
// statement that begins after it is refused.

// given are the rights of others than the owner on the module's tables and sequences. Those on home
// stay on both sides, always.
const given = `
	SELECT c.relname, c.relkind, NULL AS column, a.grantee, a.privilege_type AS privilege, a.is_grantable AS grantable
	FROM pg_class AS c, aclexplode(c.relacl) AS a
	WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
		AND a.grantee <> c.relowner AND c.relname <> 'home'
	UNION ALL
	SELECT c.relname, c.relkind, t.attname, a.grantee, a.privilege_type, a.is_grantable
	FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
	WHERE c.relnamespace = current_schema()::regnamespace AND a.grantee <> c.relowner AND c.relname <> 'home'
		AND NOT t.attisdropped`

const (
	grantee = `CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END`
	subject = `CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END`
	named   = `string_agg(quote_ident(current_schema()) || '.' || quote_ident(relname), ', ' ORDER BY relname)`
)

// grants is a query for the statements that give exactly what is given now. The tables with the
// same rights share one.
const grants = `SELECT coalesce(string_agg(statement, '; '), '') FROM (
	SELECT format('GRANT %s ON %s %s TO %s', rights, kind, ` + named + `, grantee) || CASE WHEN grantable THEN ' WITH GRANT OPTION' ELSE '' END
	FROM (
		SELECT relname, ` + subject + ` AS kind, ` + grantee + ` AS grantee, grantable,
			string_agg(privilege || coalesce(' (' || quote_ident("column") || ')', ''), ', ' ORDER BY privilege, "column") AS rights
		FROM (` + given + `) AS given GROUP BY relname, relkind, given.grantee, grantable
	) AS tables GROUP BY kind, rights, grantee, grantable
) AS s (statement)`

// writing are the rights to change something; MAINTAIN, of PostgreSQL 17, changes no row.
const writing = `'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'USAGE'`

// revokes returns a query for the statements that take the rights away from everyone.
func revokes(onlyWriting bool) string {
	which := "true"
	if onlyWriting {
		which = "privilege IN (" + writing + ") OR relkind = 'S'"
	}
	return `SELECT coalesce(string_agg(statement, '; '), '') FROM (
	SELECT format('REVOKE %s ON %s %s FROM %s CASCADE', rights, kind, ` + named + `, grantee)
	FROM (
		SELECT relname, ` + subject + ` AS kind, ` + grantee + ` AS grantee,
			string_agg(DISTINCT privilege, ', ' ORDER BY privilege) AS rights
		FROM (` + given + `) AS given WHERE ` + which + ` GROUP BY relname, relkind, given.grantee
	) AS tables GROUP BY kind, rights, grantee
) AS s (statement)`
}

// change returns a statement that changes the row of home, fails if that is not in the state which
// the condition names, and then executes what the queries return, all or nothing.
func change(set, condition string, queries ...string) string {
	var text strings.Builder
	text.WriteString("DO $move$ DECLARE all_of text[] := ARRAY[")
	for i, query := range queries {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("(" + query + ")")
	}
	text.WriteString("]::text[]; one text; BEGIN UPDATE home SET " + set + " WHERE " + condition + `;
		IF NOT FOUND THEN RAISE 'the home has changed' USING ERRCODE = '` + lostCode + `'; END IF;
		FOREACH one IN ARRAY all_of LOOP EXECUTE one; END LOOP; END $move$; `)
	return text.String()
}

// lostCode is the SQLSTATE of a change that came too late.
const lostCode = "SM001"

// withdraw takes all rights away from everyone, on a side that is not the home.
func (s *side) withdraw(ctx context.Context) error {
	statements, err := s.ask(ctx, revokes(false))
	if err != nil {
		return err
	}
	return s.exec(ctx, statements)
}

// writable is a query for whether the role, or everyone, may change something here.
const writable = "SELECT EXISTS (SELECT FROM (" + given + ") AS given WHERE privilege IN (" + writing + "))"

func owned(epoch int64, move uuid.UUID) string {
	return "epoch = " + strconv.FormatInt(epoch, 10) + " AND move = " + literal(move.String())
}
