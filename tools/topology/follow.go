package topology

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Changes are modules that the repository no longer has, or has under another name, while their
// data is as before.
type Changes struct {
	Renamed map[string]string // from old to new names
	Removed []string
}

// Any reports whether there are some.
func (c Changes) Any() bool { return len(c.Renamed)+len(c.Removed) > 0 }

// Follow renames and removes the modules in the system's databases: schemas, roles, and what other
// modules keep of them. It runs before postgres.Provision, and while no process of the system runs.
// What a renamed module has published is published once more, as a broker has it under its old
// name. Where a schema is to be made beside data of no module, Follow asks whether it is a renamed
// module's.
func (c Changes) Follow(ctx context.Context, plan postgres.Plan, admins ...string) error {
	var databases []*database
	defer func() {
		for _, d := range databases {
			_ = d.conn.Close(context.WithoutCancel(ctx)) // what was to be done is committed
		}
	}()
	for _, admin := range admins {
		d, err := open(ctx, plan, admin)
		if postgres.HasCode(err, "3D000") || err != nil && !c.Any() {
			continue // Provision creates it, or says what is wrong
		}
		if err != nil {
			return fmt.Errorf("look for modules in the database: %w", err)
		}
		databases = append(databases, d)
	}
	if err := c.check(databases); err != nil || !c.Any() {
		return err
	}
	cfg, err := process.Config[events.Config]()
	if err != nil {
		return err
	}
	since := time.Now().Add(-cfg.OutboxRetention)
	for _, step := range []func(*database, *script){
		func(d *database, s *script) { d.refuseMoved(s, c) },
		func(d *database, s *script) { d.followInOthers(s, c) }, // it can be repeated while the schema is there
		func(d *database, s *script) { d.follow(s, c, since) },
		func(d *database, s *script) { d.removeRoles(s, c) },
	} {
		for _, d := range databases {
			err := pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
				s := &script{ctx: ctx, tx: tx}
				step(d, s)
				return s.err
			})
			if err != nil {
				return fmt.Errorf("have the data follow: %w", err)
			}
		}
	}
	return nil
}

// check refuses changes that do not fit the databases, and a choice that is still to be made.
func (c Changes) check(databases []*database) error {
	var found []string
	for _, d := range databases {
		found = append(found, d.schemas...)
	}
	has := func(m string) bool { return slices.Contains(found, m) }
	known := func(m string) bool { return slices.Contains(Modules, m) }
	gone := append(slices.Sorted(maps.Keys(c.Renamed)), c.Removed...)
	for _, old := range gone {
		name := c.Renamed[old]
		switch {
		case known(old):
			return process.Usage(fmt.Errorf("this seam was built with the module %s, so its data stays: "+
				"after a change, make build", old))
		case name != "" && !known(name):
			return process.Usage(fmt.Errorf("this seam was built without a module %s, with %s: after a change, make build",
				name, strings.Join(Modules, ", ")))
		case !has(old) && has(name):
			return process.Usage(fmt.Errorf("%s is not there, and %s is: leave out --renamed, if this was done", old, name))
		case !has(old):
			return process.Usage(fmt.Errorf("no module %s has data there, but %s: leave it out, if this was done",
				old, strings.Join(found, ", ")))
		case has(name):
			return process.Usage(fmt.Errorf("%s cannot be renamed: there is a schema %s, too", old, name))
		}
	}
	lost := slices.DeleteFunc(slices.Clone(found), func(m string) bool { return known(m) || slices.Contains(gone, m) })
	lacking := slices.DeleteFunc(slices.Clone(Modules), func(m string) bool {
		return has(m) || slices.Contains(slices.Collect(maps.Values(c.Renamed)), m)
	})
	if len(lost) == 0 || len(lacking) == 0 {
		return nil
	}
	return process.Usage(fmt.Errorf("%[1]s has no data yet, and there is data of %[2]s, which is no module. "+
		"Say what became of %[2]s, to bin/seam up or seam setup: --renamed %[2]s=%[1]s, or --removed %[2]s, which deletes its data", lacking[0], lost[0]))
}

// database is one of the system's databases, as its admin.
type database struct {
	conn    *pgx.Conn
	prefix  string   // of the roles
	schemas []string // of modules, by their owners, that were migrated
}

func open(ctx context.Context, plan postgres.Plan, admin string) (*database, error) {
	conn, err := postgres.Connect(ctx, admin)
	if err != nil {
		return nil, err
	}
	d := &database{conn: conn, prefix: plan.Prefix}
	rows, err := conn.Query(ctx, `
		SELECT nspname::text FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = nspowner
		JOIN pg_class ON relnamespace = n.oid AND relname = 'platform_version'
		WHERE rolname = $1 || nspname || '_owner' ORDER BY 1`, plan.Prefix)
	if err == nil {
		d.schemas, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		_ = conn.Close(ctx) // the query's error says more
		return nil, err
	}
	return d, nil
}

// refuseMoved refuses to rename a module that has moved to another database, or is on its way.
func (d *database) refuseMoved(s *script, c Changes) {
	for _, m := range d.schemas {
		if c.Renamed[m] == "" || s.err != nil {
			continue
		}
		var moved bool
		s.err = s.tx.QueryRow(s.ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s.home WHERE state <> 'home')", m)).Scan(&moved)
		if moved {
			s.err = process.Usage(fmt.Errorf("%s was moved to another database, or is on its way: finish that by seam move first", m))
		}
	}
}

// followInOthers renames and removes modules in what the database's modules keep of them.
func (d *database) followInOthers(s *script, c Changes) {
	for _, m := range d.schemas {
		for old, name := range c.Renamed {
			s.run(retitle(m, "failed", old, name))
			s.run(retitle(m, "parked", old, name))
			s.run(fmt.Sprintf("UPDATE %s.bus SET modules = array_replace(modules, '%s', '%s')", m, old, name))
		}
		for _, gone := range c.Removed {
			s.run(fmt.Sprintf("UPDATE %s.bus SET modules = array_remove(modules, '%s')", m, gone))
		}
	}
}

// follow renames and removes the modules whose schemas the database has.
func (d *database) follow(s *script, c Changes, since time.Time) {
	for _, m := range d.schemas {
		if name := c.Renamed[m]; name != "" {
			d.rename(s, m, name, since)
		}
	}
	for _, gone := range c.Removed {
		s.runEach("SELECT format('GRANT %I TO CURRENT_USER', rolname) "+ofRoles, d.prefix, gone)
		s.runEach("SELECT format('DROP OWNED BY %I CASCADE', rolname) "+ofRoles, d.prefix, gone) // its schema, too
	}
}

func (d *database) rename(s *script, old, name string, since time.Time) {
	s.run("SET LOCAL search_path = " + old)
	s.replay(since)
	s.run(retitle(old, "outbox", old, name))
	s.run(retitle(old, "outbox_pending", old, name))
	s.run(fmt.Sprintf("ALTER SCHEMA %s RENAME TO %s", old, name))
	s.runEach(`
		SELECT format('ALTER FUNCTION %s SET search_path = %I%s',
			p.oid::regprocedure, $2::text, substr(setting, length('search_path=' || $1) + 1))
		FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace, unnest(proconfig) AS setting
		WHERE nspname = $2 AND setting ~ ('^search_path=' || $1 || '(,|$)')`, old, name)
	s.runEach("SELECT format('ALTER ROLE %I RENAME TO %I', rolname, $1::text || $3 || suffix) "+ofRoles, d.prefix, old, name)
}

// removeRoles deletes the roles of modules that are removed, once no database has anything of theirs.
func (d *database) removeRoles(s *script, c Changes) {
	for _, gone := range c.Removed {
		s.runEach("SELECT format('DROP ROLE %I', rolname) "+ofRoles, d.prefix, gone)
	}
}

// ofRoles ends a query for the roles that a module has, of a prefix and a module.
const ofRoles = "FROM unnest('{_rt,_migrate,_owner}'::text[]) AS suffix " +
	"JOIN pg_roles ON rolname = $1::text || $2::text || suffix"

func retitle(schema, table, old, name string) string {
	return fmt.Sprintf("UPDATE %s.%s SET topic = '%s' || substr(topic, %d) WHERE starts_with(topic, '%s.')",
		schema, table, name, len(old)+1, old)
}

// script runs statements until one fails.
type script struct {
	ctx context.Context //nolint:containedctx // it lives as long as a call
	tx  pgx.Tx
	err error
}

func (s *script) run(statement string) {
	if s.err == nil {
		_, s.err = s.tx.Exec(s.ctx, statement)
	}
}

// replay has the events of the schema on the search_path published once more, if its bus is a broker.
func (s *script) replay(since time.Time) {
	if s.err != nil {
		return
	}
	var bus string
	s.err = s.tx.QueryRow(s.ctx, "SELECT coalesce((SELECT name FROM bus), $1)", events.Memory).Scan(&bus)
	if s.err == nil && bus != events.Memory {
		_, s.err = events.Replay(s.ctx, s.tx, since, func(int64) {})
	}
}

// runEach runs the statements that a query returns.
func (s *script) runEach(query string, args ...any) {
	if s.err != nil {
		return
	}
	rows, _ := s.tx.Query(s.ctx, query, args...) // CollectRows returns the error
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.err = err
	for _, statement := range statements {
		s.run(statement)
	}
}
