package main

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

// The data of modules that were renamed and removed follows, with an admin who is no superuser: what
// a renamed module was named in is renamed, and a broker gets its events again. What is not clear is
// refused before anything is changed.
func TestSetupFollowsModules(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	db := pgtest.New(t)
	role, plan := db.Name+"_admin", postgres.Plan{Prefix: db.Name + "-", Secret: "secret"}
	do(t, db, "CREATE ROLE "+role+" LOGIN CREATEROLE PASSWORD 'x'", "ALTER DATABASE "+db.Name+" OWNER TO "+role)
	defer dropAll(t, db, plan.Prefix, role)
	address, err := url.Parse(db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(role, "x")
	admin := address.String()
	env := []string{"DATABASE_URL=" + admin, "SEAM_ROLE_SECRET=secret", "SEAM_ROLE_PREFIX=" + plan.Prefix}
	plan.Modules = append(slices.DeleteFunc(slices.Clone(topology.Modules), func(m string) bool { return m == one }), "barges", "rafts")
	if err := postgres.Provision(t.Context(), admin, plan); err != nil {
		t.Fatal(err)
	}
	for _, m := range plan.Modules {
		files := m
		if !slices.Contains(topology.Modules, m) {
			files = one
		}
		if err := postgres.Migrate(t.Context(), plan.MigrateURL(admin, m), os.DirFS("../../migrations/"+files)); err != nil {
			t.Fatal(err)
		}
		do(t, db, "INSERT INTO "+m+".bus (name, modules) VALUES ('nats', '{barges,rafts,"+other+"}')")
	}
	const event = "gen_random_uuid(), 'barges.sailed.v1', "
	do(t, db,
		"INSERT INTO barges.outbox (id, topic, key, payload, headers) VALUES ("+event+"'', '{}', '{}')",
		"INSERT INTO barges.outbox (id, topic, key, payload, headers, created_at) VALUES ("+event+"'', '{}', '{}', now() - interval '1 year')",
		"INSERT INTO "+other+".failed (event_id, topic, payload, headers, attempts, reason, next_at) VALUES ("+event+"'', '{}', 1, '', now())",
		"INSERT INTO "+other+".parked (event_id, topic, key, payload, headers) VALUES ("+event+"'', '', '{}')")

	for _, refused := range []struct{ want, args string }{
		{one + " has no data yet, and there is data of barges", ""},
		{one + " has no data yet, and there is data of rafts", "--removed barges"},
		{"write a module's name, or OLD=NEW", "--renamed barges"},
		{"no module \"rafts\" has data there", `--removed "rafts"`},
		{one + " is there twice", "--renamed barges=" + one + " --renamed rafts=" + one},
		{"barges is there twice", "--renamed barges=" + one + " --removed barges"},
		{"without a module lakes", "--renamed barges=lakes --removed rafts"},
		{"with the module " + other + ", so its data stays", "--removed " + other},
		{"no module lakes has data there, but barges", "--removed lakes"},
		{"lakes is not there, and " + other + " is", "--renamed lakes=" + other},
		{"there is a schema " + other + ", too", "--renamed barges=" + other},
	} {
		said, code := run(t, env, "seam", append([]string{"setup"}, strings.Fields(refused.args)...)...)
		if code != 2 || !strings.Contains(said, refused.want) {
			t.Errorf("seam setup %s: exit code %d, said %q, want %q", refused.args, code, said, refused.want)
		}
	}
	changes := []string{"setup", "--renamed", "barges=" + one, "--removed", "rafts"}
	do(t, db, "UPDATE barges.home SET state = 'standby'", "INSERT INTO barges.home (state, epoch, move, elsewhere) SELECT 'standby', 1, gen_random_uuid(), '' "+
		"WHERE NOT EXISTS (SELECT FROM barges.home)")
	if said, code := run(t, env, "seam", changes...); code != 2 || !strings.Contains(said, "by seam move first") {
		t.Errorf("a module that has moved: exit code %d, said %q", code, said)
	}
	if n := pgtest.Count(t, db.Admin(t), "SELECT count(*) FROM "+other+".bus WHERE modules @> '{barges,rafts}'"); n != 1 {
		t.Errorf("what is refused has changed what %s knows", other)
	}
	do(t, db, "DELETE FROM barges.home")
	if said, code := run(t, env, "seam", changes...); code != 0 {
		t.Fatalf("exit code %d, said %q", code, said)
	}
	for what, query := range map[string]string{
		"a schema or role of an old name": "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname IN ('barges', 'rafts')) + " +
			"(SELECT count(*) FROM pg_roles WHERE starts_with(rolname, '" + plan.Prefix + "barges') OR starts_with(rolname, '" + plan.Prefix + "rafts'))",
		"a function that looks into the old schema": "SELECT count(*) FROM pg_proc, unnest(proconfig) c WHERE c LIKE '%barges%'",
		"an event of the old name": "SELECT (SELECT count(*) FROM " + one + ".outbox WHERE topic LIKE 'barges.%') + " +
			"(SELECT count(*) FROM " + other + ".failed WHERE topic LIKE 'barges.%') + (SELECT count(*) FROM " + other + ".parked WHERE topic LIKE 'barges.%')",
		"a module that waits for an old one": "SELECT count(*) FROM " + other + ".bus WHERE modules && '{barges,rafts}'",
		"an event that is kept and not published again, or one too old": "SELECT count(*) FROM " + one + ".outbox o LEFT JOIN " + one +
			".outbox_pending p ON p.event_id = o.id AND p.topic = '" + one + ".sailed.v1' AND p.replays = 1 AND o.replays = 1 " +
			"WHERE (p.event_id IS NULL) = (o.created_at > now() - interval '1 hour')",
	} {
		if n := pgtest.Count(t, db.Admin(t), query); n != 0 {
			t.Errorf("there is %s: %d", what, n)
		}
	}
	if said, code := run(t, env, "seam", "setup"); code != 0 {
		t.Errorf("once more, without changes: exit code %d, said %q", code, said)
	}
}

// dropAll drops all schemas of modules, and all roles, of a prefix.
func dropAll(t *testing.T, db *pgtest.DB, prefix, role string) {
	t.Helper()
	for _, m := range append(slices.Clone(topology.Modules), "barges", "rafts") {
		for _, kind := range []string{"_owner", "_migrate", "_rt"} {
			if pgtest.Count(t, db.Admin(t), "SELECT count(*) FROM pg_roles WHERE rolname = '"+prefix+m+kind+"'") > 0 {
				do(t, db, `DROP OWNED BY "`+prefix+m+kind+`" CASCADE`, `DROP ROLE "`+prefix+m+kind+`"`)
			}
		}
	}
	do(t, db, "REASSIGN OWNED BY "+role+" TO CURRENT_USER", "DROP OWNED BY "+role, "DROP ROLE "+role)
}
