package move

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// side is one of the two databases, with the admin's connection to it.
type side struct {
	*pgx.Conn
	module   string
	address  string // as the other one names it: postgres://host:port/database
	stream   string // what leads from here to the other: the slot here, and the subscription there
	conninfo string // for the other server
	url      string // of the admin's connection
	system   string // identifies the server
	version  int
	guard    *side  // holds the lock; nil without it
	end      func() // of the watch over the connection
}

// session are the settings of a connection, some of which the text of a row depends on.
const session = `
	SET statement_timeout = 0; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = 0;
	SET synchronous_commit = on; SET standard_conforming_strings = on;
	SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed';
	SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';
	SET bytea_output = 'hex'; SET extra_float_digits = 1; SET client_min_messages = warning; `

// connect opens an admin's connection. Its statements name the schema's tables without the schema.
func (m Move) connect(ctx context.Context, address string) (*side, error) {
	conn, err := postgres.ConnectAdmin(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &side{Conn: conn, module: m.Module, url: address, address: addressOf(&conn.Config().Config), conninfo: conninfo(address)}
	watched, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	go watch(watched, address, func() { _ = conn.PgConn().Conn().SetDeadline(time.Now()) }) // which ends every statement
	err = s.exec(ctx, session+"SET application_name = "+literal(m.application())+"; SET search_path = "+
		pgx.Identifier{m.Module}.Sanitize())
	var hidden bool
	if err == nil {
		err = s.QueryRow(ctx, `SELECT s.system_identifier::text, concat_ws('_', $1::text, d.oid, obj_description(p.oid, 'pg_publication')),
			current_setting('server_version_num')::int, coalesce(NOT has_schema_privilege(to_regnamespace($2), 'USAGE'), false)
			FROM pg_control_system() AS s, pg_database AS d LEFT JOIN pg_publication AS p ON p.pubname = $1
			WHERE d.datname = current_database()`, m.publication(), pgx.Identifier{m.Module}.Sanitize()).
			Scan(&s.system, &s.stream, &s.version, &hidden)
	}
	if err == nil && hidden { // its tables cannot be told from none
		err = process.Usage(fmt.Errorf("%s: %s may not look at %s: GRANT %s TO %[2]s", s.address, s.Config().User, m.Module, m.owner()))
	}
	if err == nil && s.Config().Database == "" {
		err = process.Usage(fmt.Errorf("%s names no database: say which, as in %[1]sNAME", s.address))
	}
	if err == nil && s.version < 150000 {
		err = process.Usage(fmt.Errorf("%s is older than PostgreSQL 15: upgrade it first", s.address))
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func addressOf(cfg *pgconn.Config) string {
	u := url.URL{Scheme: "postgres", Host: net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))), Path: "/" + cfg.Database}
	return u.String()
}

func (m Move) application() string { return "seam move " + m.Module }

// close ends the connection, and does nothing to a side that could not be reached.
func (s *side) close() {
	if s == nil {
		return
	}
	s.unlock()
	s.end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // it is gone either way
}

// exec runs statements, which have no arguments, in one round trip and, unless they begin and end
// others, in one transaction.
func (s *side) exec(ctx context.Context, statements string) error {
	_, err := s.PgConn().Exec(ctx, statements).ReadAll()
	return err
}

// ask is exec for statements of which the last one returns one value.
func (s *side) ask(ctx context.Context, statements string) (string, error) {
	results, err := s.PgConn().Exec(ctx, statements).ReadAll()
	if err != nil {
		return "", err
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return "", pgx.ErrNoRows
	}
	return string(last.Rows[0][0]), nil
}

// record reads the row of the table home.
func (s *side) record(ctx context.Context) (r record, err error) {
	err = s.QueryRow(ctx, "SELECT state, epoch, move, elsewhere, coalesce(deadline < clock_timestamp(), false) FROM home").
		Scan(&r.state, &r.epoch, &r.move, &r.elsewhere, &r.expired)
	if errors.Is(err, pgx.ErrNoRows) || postgres.HasCode(err, "42P01") { // undefined_table
		return record{}, nil
	}
	return r, err
}

// records reads the rows of both sides, and refuses those of which one names a third database.
func records(ctx context.Context, source, target *side) (here, there record, err error) {
	here, err = source.record(ctx)
	there, err2 := target.record(ctx)
	if err := errors.Join(err, err2); err != nil {
		return here, there, err
	}
	return here, there, errors.Join(source.names(here, target), target.names(there, source))
}

// names refuses the row of a side that names another database than the other side's.
func (s *side) names(r record, other *side) error {
	if r.state == "" || r.elsewhere == other.address {
		return nil
	}
	return process.Usage(fmt.Errorf("in %s the module moves between that database and %s, not %s: name these two", s.address, r.elsewhere, other.address))
}

// lock keeps migrations and other moves out until close. It is the lock of postgres.Migrate, on a
// connection of its own, whose transaction has no effect and no snapshot. It waits a moment,
// because a coordinator that has just ended may still have it.
func (s *side) lock(ctx context.Context, m Move) error {
	guard, err := m.connect(ctx, s.url)
	if err != nil {
		return err
	}
	s.guard = guard
	err = guard.exec(ctx, "BEGIN; SET LOCAL lock_timeout = '2s'; LOCK TABLE migrating IN EXCLUSIVE MODE")
	switch {
	case postgres.HasCode(err, postgres.LockTimeout):
		return errBusy
	case postgres.HasCode(err, "42P01"): // undefined_table: finish has dropped the schema
		return nil
	}
	return err
}

// is reports whether both are one database.
func (s *side) is(other *side) bool { return s.system == other.system && s.stream == other.stream }

func (s *side) unlock() {
	if s.guard != nil {
		s.guard.close()
		s.guard = nil
	}
}

// takeOver ends the connections of every other coordinator, so that one that hangs now cannot act
// later.
func (s *side) takeOver(ctx context.Context, m Move) error {
	_, err := s.Exec(ctx, `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
		WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()`, m.application())
	return err
}

// exists reports whether the query finds a row.
func (s *side) exists(ctx context.Context, query string, args ...any) (found bool, err error) {
	err = s.QueryRow(ctx, "SELECT EXISTS ("+query+")", args...).Scan(&found)
	return found, err
}

func (s *side) hasSlot(ctx context.Context, name string) (bool, error) {
	return s.exists(ctx, "SELECT FROM pg_replication_slots WHERE slot_name = $1", name)
}

func (s *side) hasSubscription(ctx context.Context, name string) (bool, error) {
	return s.exists(ctx, `SELECT FROM pg_subscription WHERE subname = $1
		AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`, name)
}

// conninfo returns the address for another server, which does not know pgx's own parameters.
func conninfo(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // which pgx has accepted; PostgreSQL will say what it does not
	}
	query := u.Query()
	for key := range query {
		if strings.HasPrefix(key, "pool_") || strings.HasSuffix(key, "_cache_capacity") || slices.Contains([]string{
			"default_query_exec_mode", "application_name", "target_session_attrs",
		}, key) {
			query.Del(key)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// literal quotes text for a statement; the session has standard_conforming_strings.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
