package attacks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/architecture"
	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
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
	calls, checked := architecture.Calls(), 0
	for _, p := range s.processes() {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if errors.Is(err, fs.ErrNotExist) { // another test has started and stopped it
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		checked++
		has := func(secret string) bool { return strings.Contains(string(environment), secret) }
		mayCall := false
		for _, m := range topology.Modules {
			serves := slices.Contains(p.serves, m)
			mayCall = mayCall || serves && len(calls[m]) > 0
			if has(s.Plan.RuntimePassword(m)) != serves {
				t.Errorf("%s has the password of %s_rt: %v, want %v", p.name, m, !serves, serves)
			}
			if has(s.Seeds[m]) != serves {
				t.Errorf("%s has the key of %s at the broker: %v, want %v", p.name, m, !serves, serves)
			}
			if has(s.Plan.MigratePassword(m)) {
				t.Errorf("%s has the password of %s_migrate, and only its verb migrate needs it", p.name, m)
			}
		}
		if has(s.Plan.Secret) || has(s.admin) || has(s.Seeds[natsbus.Provisioner]) {
			t.Errorf("%s has the secret of the roles' passwords, the admin's connection or the key of who provisions", p.name)
		}
		if has("SERVICE_TOKEN=") != mayCall {
			t.Errorf("%s has a service token: %v, want %v", p.name, !mayCall, mayCall)
		}
		if has(s.Secret) != (p.name == "gateway") {
			t.Errorf("%s has the façade's secret: %v", p.name, has(s.Secret))
		}
	}
	if checked <= len(topology.Modules) {
		t.Errorf("%d processes run, want each module's and the façade", checked)
	}
}

// A role that holds the keys of another module's advisory locks, or tries to take its locks, stops
// neither its events nor its migrations.
func TestAHeldTurnStopsNoOtherModule(t *testing.T) {
	s := theShop(t)
	conn := connect(t, s.Plan.RuntimeURL(s.AdminURL, "notifications"))
	for _, module := range []string{"orders", "inventory", "payments"} {
		for _, kind := range []string{"consumer", "migrate"} {
			if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock(hashtextextended($1, 0))", "seam."+kind+"."+module); err != nil {
				t.Fatal("the attack does not begin:", err)
			}
		}
		for _, lock := range []string{"SELECT FROM " + module + ".turn FOR UPDATE", "BEGIN; LOCK TABLE " + module + ".migrating"} {
			if _, err := conn.Exec(t.Context(), lock); !postgres.HasCode(err, "42501") { // insufficient_privilege
				t.Errorf("notifications_rt: %s: %v", lock, err)
			}
			_, _ = conn.Exec(t.Context(), "ROLLBACK")
		}
	}
	confirms(t, s, "ada")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := postgres.Migrate(ctx, s.Plan.MigrateURL(s.AdminURL, "orders"), ordersmigrations.FS); err != nil {
		t.Error("migrate orders:", err)
	}
}

// A role that lifts its own limits, and holds what it can for as long as it likes, stops no other
// module. Its module does not start with them, and does after the next setup.
func TestALiftedLimitStopsNoOtherModule(t *testing.T) {
	s := theShop(t)
	address := s.Plan.RuntimeURL(s.AdminURL, "notifications")
	conn := connect(t, address)
	for _, statement := range []string{
		"ALTER ROLE CURRENT_USER SET statement_timeout = 0",
		"SET statement_timeout = 0", "SET idle_in_transaction_session_timeout = 0",
		"BEGIN", "LOCK TABLE turn, inbox, outbox, jobs IN ACCESS EXCLUSIVE MODE",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil && !postgres.HasCode(err, "42501") {
			t.Fatal("the attack does not begin:", statement, err)
		}
	}
	confirms(t, s, "ada")
	open := func() error {
		pool, err := postgres.OpenAnyVersion(t.Context(), "attack", "notifications", address, 1)
		if err == nil {
			pool.Close()
		}
		return err
	}
	if err := open(); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "seam setup") {
		t.Error("with a lifted limit:", err)
	}
	_, _ = conn.Exec(t.Context(), "ROLLBACK")
	if err := postgres.Provision(t.Context(), s.AdminURL, s.Plan); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Error("after a setup:", err)
	}
}

// A role that opens as many connections as it can keeps no other from connecting.
func TestAFloodOfConnectionsStopsNoOtherModule(t *testing.T) {
	s := theShop(t)
	var flood []*pgx.Conn
	defer func() {
		for _, conn := range flood {
			_ = conn.Close(context.WithoutCancel(t.Context()))
		}
	}()
	for {
		conn, err := pgx.Connect(t.Context(), s.Plan.RuntimeURL(s.AdminURL, "notifications"))
		if err != nil {
			t.Logf("after %d connections: %v", len(flood), err)
			break
		}
		flood = append(flood, conn)
	}
	for _, module := range []string{"orders", "inventory", "payments"} {
		conn, err := pgx.Connect(t.Context(), s.Plan.RuntimeURL(s.AdminURL, module))
		if err != nil {
			t.Errorf("%s cannot connect: %v", module, err)
			continue
		}
		_ = conn.Close(t.Context())
	}
	confirms(t, s, "ada")
}
