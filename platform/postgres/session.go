package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/process"
)

// setting is a parameter of a session and its value.
type setting struct{ name, value string }

// relied are the settings without which statements fail or mean something else.
var relied = []setting{
	{"default_transaction_isolation", "read committed"}, // waits for a row that is being written, and goes on
	{"default_transaction_read_only", "off"},
	{"client_encoding", "UTF8"},
	{"standard_conforming_strings", "on"},
}

// limits are the settings that bound what a serving process may take, with the most that each may
// be. A role may change them for itself: seam setup resets them, and Open refuses what is higher.
var limits = []setting{
	{"statement_timeout", "10s"},
	{"lock_timeout", "5s"},
	{"idle_in_transaction_session_timeout", "30s"},
}

// fixed are the settings of both roles of a module. A role's settings override those of its
// database and of the server. The text formats are only for a person: values travel in binary form.
var fixed = append([]setting{
	{"timezone", "UTC"},
	{"datestyle", "ISO, MDY"},
	{"intervalstyle", "postgres"},
	{"bytea_output", "hex"},
	{"idle_session_timeout", "0"}, // a pool's connections may be idle
	{"transaction_timeout", "0"},  // statement_timeout limits instead; new in PostgreSQL 17
}, relied...)

// set sets them on the roles, except those that this server does not know.
func set(ctx context.Context, tx pgx.Tx, settings []setting, roles ...string) error {
	for _, s := range settings {
		var known bool
		if err := tx.QueryRow(ctx, "SELECT current_setting($1, true) IS NOT NULL", s.name).Scan(&known); err != nil {
			return err
		}
		if !known {
			continue
		}
		for _, role := range roles {
			if _, err := tx.Exec(ctx, "ALTER ROLE "+quote(role)+" SET "+s.name+" = '"+s.value+"'"); err != nil {
				return err
			}
		}
	}
	return nil
}

// connectAdmin connects for Provision, and sets what the admin's role may not have set.
func connectAdmin(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := connectSession(ctx, cfg)
	if err != nil {
		return nil, err
	}
	set := "SET statement_timeout = 0"
	for _, s := range relied {
		set += "; SET " + s.name + " = '" + s.value + "'"
	}
	if _, err := conn.PgConn().Exec(ctx, set).ReadAll(); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// greet refuses a database that cannot store every character, and a standby, which is read-only
// until it is promoted. The server reports both when a connection starts, so this costs nothing;
// before PostgreSQL 14 it does not report the second.
func greet(ctx context.Context, conn *pgconn.PgConn) error {
	if encoding := conn.ParameterStatus("server_encoding"); encoding != "UTF8" {
		return process.Usage(fmt.Errorf("the database has the encoding %s and the modules need UTF8: "+
			"name a database that does not exist yet, and seam setup creates it", encoding))
	}
	if conn.ParameterStatus("in_hot_standby") != "on" {
		return nil
	}
	// A pooler still reports a standby after its promotion, so ask the server.
	answers, err := conn.Exec(ctx, "SHOW in_hot_standby").ReadAll()
	if err == nil && string(answers[0].Rows[0][0]) == "on" {
		err = errStandby
	}
	return err
}

var errStandby = errors.New("the server is a standby, which takes no writes: name the primary, " +
	"or several servers with target_session_attrs=read-write")

// inspect refuses a connection whose role is not the module's own of that kind, or whose session
// lacks the settings that statements rely on. An empty module allows any. It prepares no statement,
// which would stay on a pooler's connection.
func inspect(ctx context.Context, conn *pgx.Conn, module, kind string) error {
	var role, schema, lifted string
	found := make([]string, len(relied))
	query, into := "SELECT session_user::text, coalesce(current_schema(), '')::text, concat_ws(', '", []any{&role, &schema, &lifted}
	for _, l := range limits {
		query += fmt.Sprintf(", CASE WHEN current_setting('%[1]s')::interval NOT BETWEEN '1ms' AND '%[2]s'::interval THEN '%[1]s' END", l.name, l.value)
	}
	query += ")"
	for i, s := range relied {
		query += ", current_setting('" + s.name + "')"
		into = append(into, &found[i])
	}
	if err := conn.QueryRow(ctx, query, pgx.QueryExecModeExec).Scan(into...); err != nil {
		return err
	}
	switch {
	case schema == "":
		return process.Usage(fmt.Errorf("it logs in as %s, whose schema does not exist: run seam setup again, "+
			"or name a module's role", role))
	case module == "" && !strings.HasSuffix(role, schema+kind):
		return process.Usage(fmt.Errorf("it logs in as %s: name a module's role, such as parcels%s", role, kind))
	case module != "" && module != schema:
		return process.Usage(fmt.Errorf("it leads to the schema %q: name the runtime connection of %s", schema, module))
	case module != "" && !strings.HasSuffix(role, module+kind):
		return process.Usage(fmt.Errorf("it logs in as %s: name the role %s%s", role, module, kind))
	}
	for i, s := range relied {
		if found[i] != s.value {
			return process.Usage(fmt.Errorf("%s is %q for the role %s, and must be %q: run seam setup again, "+
				"or remove what sets it for this role and database", s.name, found[i], role, s.value))
		}
	}
	if kind == "_rt" && lifted != "" {
		return process.Usage(fmt.Errorf("the role %s has higher limits than it was given (%s): run seam setup again", role, lifted))
	}
	return nil
}
