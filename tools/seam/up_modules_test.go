package main

import (
	"os"
	"slices"
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
		for _, statement := range topology.Renamed("", module, "barges", others) {
			if _, err := admin.Exec(t.Context(), statement); err != nil {
				t.Fatal(statement, err)
			}
		}
	})
	refused("has the data of barges, which is no module here")
	refused("write OLD=NEW", "--renamed", "barges")
	refused("the database has no schema \"rafts\"", "--renamed", "rafts="+module)
	refused("there was no module \"rafts\"", "--renamed", "barges=rafts")
	refused(module+" was a module when seam was built", "--removed", module)
	refused("leave out --renamed", "--renamed", "barges="+module, "--", "true")

	up([]string{"--renamed", "barges=" + module}, func(admin *pgx.Conn, address string) {
		if id := schema(admin, module); id != kept {
			t.Errorf("the schema of %s is %d, and was %d", module, id, kept)
		}
		if err := postgres.Provision(t.Context(), address, postgres.Plan{Modules: []string{"barges"}, Secret: "any"}); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec(t.Context(), "CREATE TABLE barges.platform_version (id int)"); err != nil {
			t.Fatal(err)
		}
	})
	refused("has a schema "+module+" beside barges", "--renamed", "barges="+module)
	refused("bin/seam up --removed barges")
	up([]string{"--removed", "barges"}, func(admin *pgx.Conn, _ string) {
		rows, err := admin.Query(t.Context(), "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, 'barges')")
		if err != nil {
			t.Fatal(err)
		}
		roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(roles) > 0 || schema(admin, "barges") != 0 || schema(admin, module) != kept {
			t.Errorf("the roles %v, or schemas, are wrong: %v", roles, err)
		}
	})
	up(nil, func(admin *pgx.Conn, _ string) {
		var modules []string
		if err := admin.QueryRow(t.Context(), "SELECT modules FROM "+module+".bus").Scan(&modules); err != nil || slices.Contains(modules, "barges") {
			t.Errorf("%s knows the modules %v (%v)", module, modules, err)
		}
	})
}
