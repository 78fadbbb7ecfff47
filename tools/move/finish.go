package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Ending says what Finish will drop.
type Ending struct {
	Home     string  `json:"home"`
	Left     string  `json:"left"` // where the schema, and the roles unless both sides share them, are dropped
	Tables   []Table `json:"tables"`
	Sessions string  `json:"sessions"` // of the runtime role there: whose, from where and how many; "" for none
	Back     bool    `json:"back"`     // whether it has ever been the home, and so is the way back
	Compared bool    `json:"compared"` // whether the home has the record of the move that led to it
	Moved    bool    `json:"moved"`    // whether the home is not where the data was first
	Record   string  `json:"record"`   // that one, for the ledger; "" if the home is where the data was first
}

// Ending looks at what Finish would drop, and refuses what it would refuse.
func (m Move) Ending(ctx context.Context) (e Ending, err error) {
	source, target, err := m.open(ctx)
	if err != nil {
		return e, err
	}
	defer source.close()
	defer target.close()
	home, left, there, err := m.leaving(ctx, source, target)
	if err != nil {
		return e, err
	}
	e.Home, e.Left, e.Back = home.address, left.address, there.epoch > 0
	if e.Tables, err = left.tables(ctx); err != nil {
		return e, err
	}
	if e.Record, err = Record(ctx, home.Conn, m.Module); err != nil {
		return e, err
	}
	if e.Compared, e.Moved = e.Record != "", home != source; !e.Moved {
		e.Record = ""
	}
	err = left.QueryRow(ctx, `SELECT coalesce(string_agg(n || ' of ' || name || coalesce(' from ' || host(address), ''), ', '), '') FROM (
		SELECT count(*) AS n, quote_literal(application_name) AS name, client_addr AS address
		FROM pg_stat_activity WHERE usename = $1 AND datname = current_database() GROUP BY 2, 3 ORDER BY 2, 3) AS sessions`,
		m.runtime()).Scan(&e.Sessions)
	return e, err
}

// Remains returns what a database still has of a module that has left it for good: its schema, and
// those of its roles that may connect.
func Remains(ctx context.Context, conn *pgx.Conn, module, prefix string) (found []string, err error) {
	err = conn.QueryRow(ctx, `SELECT coalesce(array_agg(what), '{}') FROM (
		SELECT 'the schema ' || nspname FROM pg_namespace WHERE nspname = $1
		UNION ALL SELECT 'the role ' || rolname FROM pg_roles WHERE rolname IN ($2 || '_owner', $2 || '_migrate', $2 || '_rt')
			AND has_database_privilege(rolname, current_database(), 'CONNECT')) AS left_behind (what)`,
		module, prefix+module).Scan(&found)
	return found, err
}

// CleanUp says how to end by hand what a database that was given up has of the move.
func CleanUp(module string) string {
	return fmt.Sprintf("end what it would follow: ALTER SUBSCRIPTION move_%[1]s_… DISABLE, then SET (slot_name = NONE), then DROP SUBSCRIPTION; "+
		"DROP PUBLICATION move_%[1]s; and drop the schema %[1]s and the module's roles", module)
}

// leaving returns which side is the home, and which has been left, or has never been opened.
func (m Move) leaving(ctx context.Context, source, target *side) (home, left *side, there record, err error) {
	here, other, err := records(ctx, source, target)
	if err != nil {
		return nil, nil, there, err
	}
	home, left, there = source, target, other
	if here.state != atHome && other.state == atHome {
		home, left, here, there = target, source, other, here
	}
	ends := here.state == atHome && there.state == standby
	// One without a row that is still there is no copy, unless a seed was interrupted before its first.
	switch {
	case there.state == "" && here.state == atHome: // an earlier finish may have dropped the schema
		ends, err = left.exists(ctx, "SELECT WHERE to_regnamespace($1) IS NULL", pgx.Identifier{m.Module}.Sanitize())
	case there.state == "" && here.state == "":
		ends, err = left.exists(ctx, "SELECT FROM pg_publication WHERE pubname = $1", m.publication())
	}
	if err != nil || ends {
		return home, left, there, err
	}
	return nil, nil, there, m.first(home, left, here, there)
}

// Finish ends the move for good: it drops everything of the module on the side that is not the
// home, and all that led from one to the other. It may be repeated.
func (m Move) Finish(ctx context.Context) error {
	source, target, err := m.openAlone(ctx)
	if err != nil {
		return err
	}
	defer source.close()
	defer target.close()
	home, left, _, err := m.leaving(ctx, source, target)
	if err != nil {
		return err
	}
	if err := m.stepTo(ctx, "streams", func(ctx context.Context) error {
		return errors.Join(left.dropStreams(ctx), home.dropStreams(ctx))
	}); err != nil {
		return err
	}
	left.unlock() // which the schema is dropped with
	if err := m.stepTo(ctx, "schema", func(ctx context.Context) error {
		return left.exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{m.Module}.Sanitize()+" CASCADE")
	}); err != nil {
		return err
	}
	if err := m.step(ctx, "roles", func(ctx context.Context) (string, error) {
		return m.dropRoles(ctx, left, home.system == left.system)
	}); err != nil {
		return err
	}
	// Last: without the row, nobody could say which side is the home.
	return m.stepTo(ctx, "record", func(ctx context.Context) error { return home.exec(ctx, "DELETE FROM marker; DELETE FROM home") })
}

// FinishAlone is Finish without the side that was left, which is gone for good: once agree has
// returned no error, it drops what led there.
func (m Move) FinishAlone(ctx context.Context, agree func(Ending) error) error {
	sides, unreachable := m.reachable(ctx)
	defer sides[0].close()
	defer sides[1].close()
	if unreachable == nil {
		return process.Usage(errors.New("both sides can be reached: finish without --gone"))
	}
	home := cmp.Or(sides[0], sides[1])
	if home == nil {
		return unreachable
	}
	var failed *pgconn.ConnectError
	if !errors.As(unreachable, &failed) || answered(unreachable) {
		return process.Usage(fmt.Errorf("the other side is not gone, it answers: %w", unreachable))
	}
	if err := home.lock(ctx, m); err != nil {
		return err
	}
	r, err := home.record(ctx)
	if err == nil && r.state != atHome {
		err = process.Usage(fmt.Errorf("%s %s, so the other side may be the home, and without it nothing can be finished: %w",
			home.address, r, unreachable))
	}
	if gone := addressOf(failed.Config); err == nil && gone != r.elsewhere {
		err = process.Usage(fmt.Errorf("%s cannot be reached, but the other side of %s is %s: name that one", gone, home.address, r.elsewhere))
	}
	e := Ending{Home: home.address, Left: r.elsewhere, Back: true}
	if err == nil {
		e.Record, err = Record(ctx, home.Conn, m.Module)
	}
	if e.Compared, e.Moved = e.Record != "", home != sides[0]; !e.Moved {
		e.Record = ""
	}
	if err == nil {
		err = agree(e)
	}
	if err != nil {
		return err
	}
	return m.stepTo(ctx, "streams", func(ctx context.Context) error {
		err := home.dropStreams(ctx)
		if err == nil { // the record last: without it, this cannot be repeated
			err = home.exec(ctx, "DELETE FROM marker; DELETE FROM home")
		}
		return err
	})
}

// answered reports whether an error is not of the network: a server that refuses is there. One that
// does not know the database any more has lost it.
func answered(err error) bool {
	if errors.As(err, new(*pgconn.PgError)) {
		return !postgres.HasCode(err, noDatabase)
	}
	return !errors.As(err, new(net.Error))
}

// dropRoles drops the module's roles on the server, or, if the home is on the same one, takes their
// right to connect. There is no DROP OWNED BY: it would also take that right in every other
// database.
func (m Move) dropRoles(ctx context.Context, left *side, shared bool) (note string, err error) {
	database := pgx.Identifier{left.Config().Database}.Sanitize()
	for _, role := range []string{m.runtime(), m.migrate(), m.owner()} {
		there, err := left.exists(ctx, "SELECT FROM pg_roles WHERE rolname = $1", role)
		if err != nil {
			return note, err
		}
		if !there {
			continue
		}
		name := pgx.Identifier{role}.Sanitize()
		// Without the right first, so that none connects after the last has been ended.
		statements := []string{
			fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM %s", database, name),
			"SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usename = " + literal(role) + " AND datname = current_database()",
		}
		end := statements[0]
		if !shared {
			statements = append(statements, "DROP ROLE "+name)
			end += "; DROP ROLE " + name
		}
		for i := 0; i < len(statements) && err == nil; i++ {
			err = left.exec(ctx, statements[i])
		}
		kept := false // what another has granted, of which a REVOKE only warns
		if err == nil && shared {
			kept, err = left.exists(ctx, `SELECT FROM pg_database, aclexplode(datacl) WHERE datname = current_database()
				AND grantee = $1::regrole`, role)
		}
		switch {
		case postgres.HasCode(err, "2BP01"): // dependent_objects_still_exist: in other databases
			err = nil
			note += role + " stays, because another database needs it; "
		case kept:
			note += role + " may still connect, and who granted that must revoke it: " + end + "; "
		case postgres.HasCode(err, refusedCode):
			err = nil
			note += role + " is to be dropped by who made it: " + end + "; "
		}
		if err != nil {
			return note, err
		}
	}
	return note, nil
}
