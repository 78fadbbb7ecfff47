package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/output"
	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// One role's password opens no other role, also in a database that an earlier release made with one
// password for all of them.
func TestEachRoleHasItsOwnPassword(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	admin := o.url.String()
	if err := postgres.Provision(t.Context(), admin, o.plan); err != nil {
		t.Fatal(err)
	}
	runtime, migrate := o.plan.Prefix+"marks_rt", o.plan.Prefix+"marks_migrate"
	o.exec(t, "ALTER ROLE "+runtime+" PASSWORD 'for all'", "ALTER ROLE "+migrate+" PASSWORD 'for all'")
	if err := postgres.Provision(t.Context(), admin, o.plan); err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	login := func(role, password string) error {
		cfg := cfg.Copy()
		cfg.User, cfg.Password = role, password
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			_ = conn.Close(context.WithoutCancel(t.Context()))
		}
		return err
	}
	own := map[string]string{
		runtime: o.plan.RuntimePassword("marks"), migrate: o.plan.MigratePassword("marks"),
		"a role of another module": o.plan.RuntimePassword("parcels"), "all": "for all",
	}
	for _, role := range []string{runtime, migrate} {
		for of, password := range own {
			switch err := login(role, password); {
			case of == role && err != nil:
				t.Errorf("%s with its own password: %v", role, err)
			case of != role && !postgres.HasCode(err, "28P01"): // invalid_password
				t.Errorf("%s with the password of %s: %v, want a refusal", role, of, err)
			}
		}
	}
}

// Setup sends what the server stores, so a server that logs statements logs no password.
func TestTheLogOfTheServerHasNoPassword(t *testing.T) {
	t.Parallel()
	log := &output.Text{}
	server, err := pgserver.Start(t.Context(), pgserver.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error { return server.Stop(context.WithoutCancel(t.Context())) })
	t.Cleanup(func() { _ = stop() })
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range []string{"ALTER SYSTEM SET log_statement = 'ddl'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	plan, admin := postgres.Plan{Modules: []string{"marks"}, Secret: "secret"}, postgres.WithDatabase(server.URL(), "app")
	pgtest.Until(t, "the server logs a statement", func() bool {
		if err := postgres.Provision(t.Context(), admin, plan); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(log.String(), "ALTER ROLE \"marks_rt\" PASSWORD")
	})
	for _, address := range []string{plan.RuntimeURL(admin, "marks"), plan.MigrateURL(admin, "marks")} {
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatalf("a role cannot log in: %v", err)
		}
		_ = conn.Close(t.Context())
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{plan.RuntimePassword("marks"), plan.MigratePassword("marks")} {
		if strings.Contains(log.String(), password) {
			t.Errorf("the log has a password:\n%s", log)
		}
	}
}
