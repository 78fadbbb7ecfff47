package topology

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Renamed returns the statements that an admin runs in each database that has a module under its
// old name, before seam setup gives the roles their settings again. prefix is that of the roles'
// names, others are the other modules.
func Renamed(prefix, old, name string, others []string) (statements []string) {
	statements = []string{fmt.Sprintf("ALTER SCHEMA %s RENAME TO %s;", old, name)}
	for _, role := range []string{"owner", "migrate", "rt"} {
		statements = append(statements, fmt.Sprintf("ALTER ROLE %[1]s%[2]s_%[4]s RENAME TO %[1]s%[3]s_%[4]s;", prefix, old, name, role))
	}
	retitle := func(module, table string) {
		statements = append(statements, fmt.Sprintf("UPDATE %s.%s SET topic = '%s' || substr(topic, %d) WHERE starts_with(topic, '%s.');",
			module, table, name, len(old)+1, old))
	}
	retitle(name, "outbox")
	retitle(name, "outbox_pending")
	for _, m := range append([]string{name}, others...) {
		retitle(m, "failed")
		retitle(m, "parked")
		statements = append(statements, fmt.Sprintf("UPDATE %s.bus SET modules = array_replace(modules, '%s', '%s');", m, old, name))
	}
	return statements
}

// Removed returns the statements that an admin runs in each database once a module is removed. From
// then on the others do not wait for its process, where they ask which modules the system has.
func Removed(prefix, gone string, others []string) (statements []string) {
	roles := fmt.Sprintf("%[1]s%[2]s_rt, %[1]s%[2]s_migrate, %[1]s%[2]s_owner", prefix, gone)
	statements = []string{
		fmt.Sprintf("DROP SCHEMA %s CASCADE;", gone),
		fmt.Sprintf("DROP OWNED BY %s;", roles),
		fmt.Sprintf("DROP ROLE %s;", roles),
	}
	for _, m := range others {
		statements = append(statements, fmt.Sprintf("UPDATE %s.bus SET modules = array_remove(modules, '%s');", m, gone))
	}
	return statements
}

// followModules renames and removes in the database what was renamed and removed in the repository,
// as the options say. It refuses data of a module that is not there, before an empty schema of its
// new name is made beside it.
func (s *System) followModules(ctx context.Context) error {
	conn, err := postgres.Connect(ctx, s.AdminURL)
	asked := len(s.options.Renamed)+len(s.options.Removed) > 0
	if postgres.HasCode(err, "3D000") || err != nil && !asked { // Provision creates the database, or says what is wrong
		return s.unknown(nil)
	}
	if err != nil {
		return fmt.Errorf("look for modules in the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		SELECT nspname::text FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
		WHERE relname = 'platform_version' ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("look for modules in the database: %w", err)
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for modules in the database: %w", err)
	}
	if err := s.unknown(schemas); err != nil {
		return err
	}
	others := slices.DeleteFunc(schemas, func(m string) bool {
		return s.options.Renamed[m] != "" || slices.Contains(s.options.Removed, m)
	})
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, gone := range s.options.Removed {
			s.say("Removing the data of %s …", gone)
			if err := inTurn(ctx, tx, Removed(s.Plan.Prefix, gone, others)); err != nil {
				return err
			}
		}
		for _, old := range slices.Sorted(maps.Keys(s.options.Renamed)) {
			name := s.options.Renamed[old]
			s.say("Renaming the data of %s …", old)
			if err := inTurn(ctx, tx, Renamed(s.Plan.Prefix, old, name, others)); err != nil {
				return err
			}
			others = append(others, name)
		}
		return nil
	})
}

func inTurn(ctx context.Context, tx pgx.Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s %w", statement, err)
		}
	}
	return nil
}

// unknown refuses options that name no schema of these, or no module, and, where the data is this
// folder's own, a schema of no module.
func (s *System) unknown(schemas []string) error {
	for old, name := range s.options.Renamed {
		if !slices.Contains(Modules, name) {
			return process.Usage(fmt.Errorf("there was no module %q when seam was built; there are %s: make build, if it is new", name, strings.Join(Modules, ", ")))
		}
		if slices.Contains(schemas, name) {
			return process.Usage(fmt.Errorf("the database has a schema %s beside %s: drop the one in which nothing is", name, old))
		}
	}
	gone := append(slices.Sorted(maps.Keys(s.options.Renamed)), s.options.Removed...)
	for _, old := range gone {
		if slices.Contains(Modules, old) {
			return process.Usage(fmt.Errorf("%s was a module when seam was built, so its data stays: make build, if it no longer is", old))
		}
		if !slices.Contains(schemas, old) {
			return process.Usage(fmt.Errorf("the database has no schema %q of a module", old))
		}
	}
	for _, m := range schemas {
		if s.Server != nil && !slices.Contains(Modules, m) && !slices.Contains(gone, m) {
			return process.Usage(fmt.Errorf("%[1]s has the data of %[2]s, which is no module here. If it was renamed: bin/seam up "+
				"--renamed %[2]s=NAME. If it was removed: bin/seam up --removed %[2]s, which deletes that data. "+
				"Or set SEAM_STATE to another folder", s.options.State, m))
		}
	}
	return nil
}
