package move

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// provision makes the roles, unless they are provided, and the tables on the target.
func (m Move) provision(ctx context.Context, provided bool) error {
	roles := m.Roles
	roles.Modules = []string{m.Module}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watch(ctx, m.Target, cancel)
	if err := m.stepTo(ctx, "provision", func(ctx context.Context) error {
		if provided {
			return nil
		}
		return postgres.Provision(ctx, m.Target, roles)
	}); err != nil {
		return err
	}
	if err := m.stepTo(ctx, "migrate", func(ctx context.Context) error {
		if err := m.mark(ctx); err != nil {
			return err
		}
		return m.Migrate(ctx, roles.MigrateURL(m.Target, m.Module))
	}); err != nil {
		return err
	}
	source, target, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer source.close()
	defer target.close()
	if source.system == target.system || provided {
		return nil
	}
	return m.stepTo(ctx, "passwords", func(ctx context.Context) error { return m.copyPasswords(ctx, source, target) })
}

// mark makes the publication on the target, by which a later seed knows that the rows there, which
// migrations insert, are of a seed that was interrupted.
func (m Move) mark(ctx context.Context) error {
	target, err := m.connect(ctx, m.Target)
	if err != nil {
		return err
	}
	defer target.close()
	marked, err := target.exists(ctx, "SELECT FROM pg_publication WHERE pubname = $1", m.publication())
	if err != nil || marked {
		return err
	}
	return target.exec(ctx, "CREATE PUBLICATION "+m.publication())
}

// copyPasswords gives the roles on the target those that they have on the source, without knowing
// them.
func (m Move) copyPasswords(ctx context.Context, source, target *side) error {
	for _, role := range []string{m.migrate(), m.runtime()} {
		var verifier string
		err := source.QueryRow(ctx, "SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = $1", role).Scan(&verifier)
		if err == nil && verifier != "" {
			err = target.exec(ctx, "ALTER ROLE "+pgx.Identifier{role}.Sanitize()+" PASSWORD "+literal(verifier))
		}
		if err != nil && !postgres.HasCode(err, refusedCode) { // refused to no superuser: the plan has tried the password
			return fmt.Errorf("copy the password of %s: %w", role, err)
		}
	}
	return nil
}
