package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// A role that opens as many connections as it can leaves some for the others.
func TestAFloodByOneRoleLeavesConnections(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.plan.Connections = 3
	admin := o.url.String()
	if err := postgres.Provision(t.Context(), admin, o.plan); err != nil {
		t.Fatal(err)
	}
	connect := func(address string) error {
		conn, err := pgx.Connect(t.Context(), address)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		}
		return err
	}
	for range 3 {
		if err := connect(o.plan.RuntimeURL(admin, "marks")); err != nil {
			t.Fatal(err)
		}
	}
	if err := connect(o.plan.RuntimeURL(admin, "marks")); !postgres.HasCode(err, "53300") { // too_many_connections
		t.Errorf("one connection too many: %v", err)
	}
	if err := connect(o.plan.MigrateURL(admin, "marks")); err != nil {
		t.Errorf("another role: %v", err)
	}
	o.plan.Connections = 0
	if err := postgres.Provision(t.Context(), admin, o.plan); err != nil {
		t.Fatal(err)
	}
	if err := connect(o.plan.RuntimeURL(admin, "marks")); err != nil {
		t.Errorf("with half of the server's: %v", err)
	}
}
