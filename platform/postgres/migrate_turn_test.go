package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/postgres"
)

// Replicas that migrate at once, from the first migration on, take turns. A role of another module
// keeps none of them waiting.
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
	other, err := pgx.Connect(t.Context(), o.plan.RuntimeURL(admin, "other"))
	if err != nil {
		t.Fatal(err)
	}
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
}
