package postgres_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// An admin address is refused, or leads each module to the same database with its own role and
// password.
func FuzzURL(f *testing.F) {
	for _, address := range []string{
		"", "postgres://", "postgres:///app", "postgres://postgres:secret@127.0.0.1:5432/app",
		"postgresql://postgres@localhost/app?sslmode=disable", "postgres://postgres:p%40ss%2Fword@[::1]:5432/app",
		"postgres://postgres@h1:1,h2:2/app?target_session_attrs=any", "postgres://postgres@db:5432/a%2Fpp",
		"postgres://postgres@db/app?connect_timeout=3&application_name=x", "host=/tmp user=postgres dbname=app",
		"mysql://postgres@db/app", "postgres://postgres@db:port/app", "postgres://%zz@db/app",
		"postgres://postgres@db/", "postgres:app", "postgres://db/app#fragment", "postgresXX://postgres@db/app",
		" postgres://postgres@db/app",
	} {
		f.Add(address, "s3cret")
	}
	f.Add("postgres://postgres@db/app", "%@:/?#[]&= ü")
	f.Fuzz(func(t *testing.T, address, secret string) {
		plan := postgres.Plan{Modules: []string{"parcels"}, Prefix: "p_", Secret: secret}
		runtime, migrate := plan.RuntimeURL(address, "parcels"), plan.MigrateURL(address, "parcels")
		admin, err := pgx.ParseConfig(address)
		if err != nil {
			return
		}
		if strings.Contains(address, "[") && net.ParseIP(admin.Host) == nil {
			return // brackets without an IP address lead nowhere
		}
		nowhere, cancel := context.WithCancel(t.Context())
		cancel() // so that it connects nowhere
		if err := postgres.Provision(nowhere, address, plan); errors.Is(err, process.ErrUsage) {
			return
		}
		for role, url := range map[string]string{"p_parcels_rt": runtime, "p_parcels_migrate": migrate} {
			password := map[string]string{runtime: plan.RuntimePassword("parcels"), migrate: plan.MigratePassword("parcels")}[url]
			cfg, err := pgx.ParseConfig(url)
			if err != nil {
				t.Fatalf("%q was accepted, and the address of %s is refused: %v", address, role, err)
			}
			if cfg.User != role || cfg.Password != password {
				t.Errorf("%q: %s logs in as %q with %q", address, role, cfg.User, cfg.Password)
			}
			if cfg.Host != admin.Host || cfg.Port != admin.Port || cfg.Database != admin.Database ||
				len(cfg.Fallbacks) != len(admin.Fallbacks) {
				t.Errorf("%q: %s is led to %s:%d/%s, and the admin to %s:%d/%s", address, role,
					cfg.Host, cfg.Port, cfg.Database, admin.Host, admin.Port, admin.Database)
			}
			// An address must not override the settings of its role.
			options := strings.NewReplacer(`\`, "", "-", "_").Replace(strings.ToLower(cfg.RuntimeParams["options"]))
			for _, own := range []string{"role", "search_path", "session_authorization"} {
				if cfg.RuntimeParams[own] != "" || strings.Contains(options, own) {
					t.Errorf("%q: the address of %s sets %s: %v", address, role, own, cfg.RuntimeParams)
				}
			}
		}
	})
}
