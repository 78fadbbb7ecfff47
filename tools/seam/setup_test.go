package main

import (
	"net/url"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// What an admin may not do is one line each, with the statement for one who may.
func TestSetupPrintsWhatItMayNotDo(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin, role := db.Admin(t), db.Name+"_admin"
	do := func(statements ...string) {
		for _, s := range statements {
			if _, err := admin.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	do("CREATE ROLE "+role+" LOGIN CREATEROLE PASSWORD 'x'",
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
		do("DROP SCHEMA " + m + " CASCADE")
		for _, kind := range []string{"_owner", "_migrate", "_rt"} {
			do("DROP OWNED BY "+db.Name+"_"+m+kind, "DROP ROLE "+db.Name+"_"+m+kind)
		}
	}
	do("DROP OWNED BY "+role, "DROP ROLE "+role)
}
