package main

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// What an admin may not do is one line each, with the statement for one who may.
func TestSetupPrintsWhatItMayNotDo(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := db.Name + "_admin"
	do(t, db, "CREATE ROLE "+role+" LOGIN CREATEROLE PASSWORD 'x'",
		"GRANT CREATE, CONNECT ON DATABASE "+db.Name+" TO "+role, "GRANT TEMPORARY ON DATABASE "+db.Name+" TO PUBLIC")
	address, err := url.Parse(db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(role, "x")
	env := []string{"DATABASE_URL=" + address.String(), "SEAM_ROLE_SECRET=secret", "SEAM_ROLE_PREFIX=" + db.Name + "_"}
	said, code := run(t, env, "seam", "setup")
	grant, revoke := "superuser: GRANT CONNECT ON DATABASE "+db.Name+" TO ", "superuser: REVOKE TEMPORARY ON DATABASE "+db.Name+" FROM PUBLIC;\n"
	if code != 0 || !strings.Contains(said, grant) || !strings.HasSuffix(said, revoke) || strings.Count(said, "\n") != 2 {
		t.Errorf("exit code %d, said %q; want 0 and lines with %q and %q", code, said, grant, revoke)
	}
	for _, m := range topology.Modules {
		do(t, db, "DROP SCHEMA "+m+" CASCADE")
		dropRoles(t, db, db.Name+"_"+m)
	}
	do(t, db, "DROP OWNED BY "+role, "DROP ROLE "+role)
}

// A module with an admin connection of its own gets a database there, and has nothing in the
// others'.
func TestSetupOfOwnDatabases(t *testing.T) {
	t.Parallel()
	module := aModule()
	shared, own := pgtest.New(t), pgtest.New(t)
	file := filepath.Join(t.TempDir(), "connections")
	env := []string{
		"DATABASE_URL=" + shared.AdminURL(), strings.ToUpper(module) + "_ADMIN_URL=" + own.AdminURL(),
		"SEAM_ROLE_SECRET=secret", "SEAM_ROLE_PREFIX=" + own.Name + "_",
	}
	if said, code := run(t, env, "seam", "setup", "--write", file); code != 0 {
		t.Fatalf("exit code %d, said %q", code, said)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range topology.Modules {
		at, other := shared, own
		if m == module {
			at, other = own, shared
		}
		if !regexp.MustCompile("(?m)^" + setting(m) + "=.*/" + at.Name + `\b`).Match(text) {
			t.Errorf("%s leads elsewhere than to %s:\n%s", setting(m), at.Name, text)
		}
		const schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = "
		if here, there := pgtest.Count(t, at.Admin(t), schemas+"'"+m+"'"), pgtest.Count(t, other.Admin(t), schemas+"'"+m+"'"); here != 1 || there != 0 {
			t.Errorf("%s has %d schemas where it belongs and %d elsewhere", m, here, there)
		}
		dropRoles(t, at, own.Name+"_"+m)
	}
}

func do(t *testing.T, db *pgtest.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Admin(t).Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// dropRoles drops a module's roles, which are the whole server's.
func dropRoles(t *testing.T, db *pgtest.DB, prefix string) {
	t.Helper()
	for _, kind := range []string{"_owner", "_migrate", "_rt"} {
		do(t, db, "DROP OWNED BY "+prefix+kind+" CASCADE", "DROP ROLE "+prefix+kind)
	}
}
