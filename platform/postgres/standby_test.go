package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// A standby is read-only, so until it is promoted it counts as a server that is down.
func TestAStandbyIsNoServer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	admin := postgres.WithDatabase(server.URL(), "app")
	plan := postgres.Plan{Modules: []string{"marks"}, Secret: "secret"}
	runtime, migrate := plan.RuntimeURL(admin, "marks"), plan.MigrateURL(admin, "marks")
	if err := postgres.Provision(ctx, admin, plan); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(ctx, migrate, schema); err != nil {
		t.Fatal(err)
	}
	marks := open(t, runtime, 1)
	probe := postgres.NewProbe(marks)
	t.Cleanup(probe.Close)
	ask := func(statement string) (answer string) {
		conn, err := pgx.Connect(ctx, server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if err = conn.QueryRow(ctx, statement).Scan(&answer); err == nil && strings.HasPrefix(answer, "COPY") {
			_, err = conn.Exec(ctx, answer)
		}
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	ask(`SELECT format('COPY (SELECT WHERE false) TO %L', current_setting('data_directory') || '/standby.signal')`)
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}

	try := func(address string) error {
		marks, err := postgres.Open(ctx, "marks", address, 1, schema)
		if err == nil {
			marks.Close()
		}
		return err
	}
	marks.Pool().Reset()
	for name, err := range map[string]error{
		"serve": try(runtime), "migrate": postgres.Migrate(ctx, migrate, schema),
		"setup": postgres.Provision(ctx, admin, plan), "readiness": probe.Check(ctx),
		"a request": marks.InTx(ctx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, "DELETE FROM marks"); return err }),
	} {
		if err == nil || !strings.Contains(err.Error(), "standby") ||
			!postgres.Transient(err) || errors.Is(err, process.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}

	t.Run("promoted", func(t *testing.T) {
		p := pooler.New(t, runtime) // which still reports a standby
		if err := try(p.Through(runtime)); err == nil {
			t.Error("opened a standby through a pooler")
		}
		ask("SELECT pg_promote()::text")
		for name, err := range map[string]error{
			"serve": try(runtime), "serve through a pooler": try(p.Through(runtime)), "readiness": probe.Check(ctx),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
