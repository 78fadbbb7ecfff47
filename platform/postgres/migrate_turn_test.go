package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// Replicas that migrate at once, from the first migration on, take turns. A role of another module
// keeps nobody waiting, and a migration of v0.1.0 does.
func TestReplicasMigrateInTurn(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.plan.Modules = []string{"marks", "other"}
	admin := o.url.String()
	if err := postgres.Provision(t.Context(), admin, o.plan); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, role := range []string{"owner", "migrate", "rt"} {
			role = o.name + "_other_" + role
			o.exec(t, "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role)
		}
	})
	const key = "(hashtextextended('seam.migrate.marks', 0))"
	hold := func(address string) *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), address)
		if err == nil {
			_, err = conn.Exec(t.Context(), "SELECT pg_advisory_lock"+key)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		return conn
	}
	other := hold(o.plan.RuntimeURL(admin, "other"))
	replicas := func() error {
		var group errgroup.Group
		for range 5 {
			group.Go(func() error { return postgres.Migrate(t.Context(), o.plan.MigrateURL(admin, "marks"), schema) })
		}
		return group.Wait()
	}
	if err := replicas(); err != nil {
		t.Error(err)
	}
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE marks.migrating IN ACCESS SHARE MODE"); !postgres.HasCode(err, "42501") {
		t.Errorf("another role locks the table: %v", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	before := hold(o.plan.MigrateURL(admin, "marks"))
	ended := make(chan error, 1)
	go func() { ended <- replicas() }()
	conn, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	pgtest.Until(t, "the replicas wait", func() bool {
		var trying int
		err := conn.QueryRow(t.Context(), fmt.Sprintf("SELECT count(*) FROM pg_stat_activity "+
			"WHERE usename = '%s_marks_migrate' AND query = 'ROLLBACK'", o.name)).Scan(&trying)
		return err == nil && trying > 0
	})
	select {
	case err := <-ended:
		t.Errorf("they migrate beside a process of v0.1.0: %v", err)
	default:
	}
	_ = before.Close(t.Context())
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
