package main

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

// The data that seam up keeps follows a module that was renamed, or removed. Until it is said which
// of the two, seam up does not start beside it.
func TestUpFollowsModules(t *testing.T) {
	t.Parallel()
	dir, module := state(t), aModule()
	others := without(topology.Modules, module)
	up := func(args []string, live func(admin *pgx.Conn, address string)) {
		t.Helper()
		seam, greeting := startUp(t, dir, args)
		address := find(t, greeting, `(?m)^  database +psql '(\S+)'`)
		admin, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		live(admin, address)
		_ = admin.Close(t.Context())
		if err := seam.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := seam.Wait(); err != nil {
			t.Errorf("after an interrupt: %v", err)
		}
	}
	refused := func(want string, args ...string) {
		t.Helper()
		said, code := run(t, []string{"PORT=0", "DATABASE_URL=", "SEAM_STATE=" + dir}, "seam", append([]string{"up"}, args...)...)
		if code != 2 || !strings.Contains(said, want) {
			t.Errorf("seam up %q ended with %d, and said %s", args, code, said)
		}
	}
	do := func(admin *pgx.Conn, statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	schema := func(admin *pgx.Conn, name string) (id uint32) {
		t.Helper()
		if err := admin.QueryRow(t.Context(), "SELECT coalesce((SELECT oid FROM pg_namespace WHERE nspname = $1), 0)", name).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}

	var kept uint32
	up(nil, func(admin *pgx.Conn, _ string) {
		kept = schema(admin, module)
		do(admin, "ALTER SCHEMA "+module+" RENAME TO barges")
		for _, role := range []string{"_owner", "_migrate", "_rt"} {
			do(admin, "ALTER ROLE "+module+role+" RENAME TO barges"+role)
		}
		for _, m := range append([]string{"barges"}, others...) {
			do(admin, "UPDATE "+m+".bus SET modules = array_replace(modules, '"+module+"', 'barges')")
		}
	})
	refused("to bin/seam up or seam setup: --renamed barges=" + module + ", or --removed barges")
	refused("leave out --renamed", "--renamed", "barges="+module, "--", "true")
	up([]string{"--renamed", "barges=" + module}, func(admin *pgx.Conn, address string) {
		if id := schema(admin, module); id != kept {
			t.Errorf("the schema of %s is %d, and was %d", module, id, kept)
		}
		plan := postgres.Plan{Modules: []string{"barges"}, Secret: "any"}
		err := postgres.Provision(t.Context(), address, plan)
		if err == nil {
			err = postgres.Migrate(t.Context(), plan.MigrateURL(address, "barges"), os.DirFS("../../migrations/"+module))
		}
		if err != nil {
			t.Fatal(err)
		}
		do(admin, "UPDATE "+module+".bus SET modules = modules || '{barges}'::text[]")
	})
	refused(module+" is: leave out --renamed", "--renamed", "rafts="+module)
	refused("does not serve barges")
	up([]string{"--removed", "barges"}, func(admin *pgx.Conn, _ string) {
		var roles int
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, 'barges')").Scan(&roles); err != nil {
			t.Fatal(err)
		}
		if roles > 0 || schema(admin, "barges") != 0 || schema(admin, module) != kept {
			t.Errorf("%d roles of barges are left, or a schema is wrong", roles)
		}
	})
}
