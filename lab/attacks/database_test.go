package attacks

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/architecture"
	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

// One module's password opens no other module's role. It opens its own.
func TestAPasswordOpensOneRole(t *testing.T) {
	s := theShop(t)
	for _, module := range topology.Modules {
		for _, of := range topology.Modules {
			address := strings.Replace(s.Plan.RuntimeURL(s.AdminURL, module),
				s.Plan.RuntimePassword(module), s.Plan.RuntimePassword(of), 1)
			conn, err := pgx.Connect(t.Context(), address)
			if err == nil {
				_ = conn.Close(context.WithoutCancel(t.Context()))
			}
			if refused := postgres.HasCode(err, "28P01"); refused != (of != module) { // invalid_password
				t.Errorf("%s_rt with the password of %s_rt: %v", module, of, err)
			}
		}
	}
}

// No process has a secret of another module, nor one of those who set the shop up, in its
// environment. Each has its own.
func TestAProcessHasNoSecretOfAnother(t *testing.T) {
	s := theShop(t)
	calls := architecture.Calls()
	for _, p := range s.Processes() {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID()))
		if err != nil {
			t.Fatal(err)
		}
		has := func(secret string) bool { return strings.Contains(string(environment), secret) }
		mayCall := false
		for _, m := range topology.Modules {
			serves := slices.Contains(p.Serves, m)
			mayCall = mayCall || serves && len(calls[m]) > 0
			if has(s.Plan.RuntimePassword(m)) != serves {
				t.Errorf("%s has the password of %s_rt: %v, want %v", p.Name, m, !serves, serves)
			}
			if has(s.Plan.MigratePassword(m)) {
				t.Errorf("%s has the password of %s_migrate, and only its verb migrate needs it", p.Name, m)
			}
		}
		if has(s.Plan.Secret) || has(s.AdminURL) {
			t.Errorf("%s has the secret of the roles' passwords, or the admin's connection", p.Name)
		}
		if has("SERVICE_TOKEN=") != mayCall {
			t.Errorf("%s has a service token: %v, want %v", p.Name, !mayCall, mayCall)
		}
		if has(s.Secret) != (p.Name == "gateway") {
			t.Errorf("%s has the façade's secret: %v", p.Name, has(s.Secret))
		}
	}
}
