package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

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
