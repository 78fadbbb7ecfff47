package move_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/platform/postgres"
	"example.com/shop/tools/move"
)

// withoutSuperuser returns the move with connections of a role that may do what plan says that it
// must, and nothing else.
func withoutSuperuser(t *testing.T, admin move.Move) move.Move {
	t.Helper()
	m, role := admin, admin.Roles.Prefix+"mover"
	urls := map[string]string{} // of the superuser, by the address that plan says
	for _, address := range []*string{&m.Source, &m.Target} {
		u, err := url.Parse(*address)
		ok(t, err)
		urls[u.Host] = postgres.WithDatabase(*address, "postgres")
		server := postgres.WithDatabase(*address, "postgres")
		if ask(t, server, "SELECT (current_setting('server_version_num')::int / 10000)::text") < "16" {
			t.Skip("before PostgreSQL 16 only a superuser can make a subscription; TEST_MOVE_SERVERS names other servers")
		}
		if ask(t, server, "SELECT count(*)::text FROM pg_roles WHERE rolname = '"+role+"'") == "0" {
			run(t, server, "CREATE ROLE "+role+" LOGIN PASSWORD 'moving'")
		}
		if ask(t, server, "SELECT count(*)::text FROM pg_database WHERE datname = '"+strings.Trim(u.Path, "/")+"'") == "1" {
			run(t, *address, "GRANT "+m.Roles.Prefix+"parcels_owner TO "+role+"; GRANT CONNECT ON DATABASE "+strings.Trim(u.Path, "/")+" TO "+role)
		}
		u.User = url.UserPassword(role, "moving")
		*address = u.String()
	}
	p, err := m.Plan(t.Context())
	ok(t, err)
	for _, r := range p.Refusals {
		t.Log(r)
		u, err := url.Parse(r.Where)
		ok(t, err)
		run(t, urls[u.Host], r.Fix)
	}
	return m
}

// With the rights that plan names a module goes out and back, and no superuser is needed, whether
// its roles are on the target already or not.
func TestOutAndBackWithoutASuperuser(t *testing.T) {
	long(t)
	t.Parallel()
	for name, test := range map[string]struct{ provided, super bool }{
		"with roles of seam setup":       {provided: true},
		"with roles of its own":          {},
		"with a superuser on the target": {super: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			admin := newMove(t, 0, 1)
			if test.provided {
				roles := admin.Roles
				roles.Modules = []string{admin.Module}
				ok(t, postgres.Provision(t.Context(), admin.Target, roles))
			}
			m := withoutSuperuser(t, admin)
			if test.super {
				m.Target = admin.Target
			}
			load := write(t, m, 2)
			seed(t, m)
			table := "SET ROLE " + m.Roles.Prefix + "parcels_owner; CREATE TABLE parcels.later (id int PRIMARY KEY); INSERT INTO parcels.later VALUES (1)"
			run(t, m.Target, table)
			run(t, m.Source, table)
			seed(t, m) // adds it
			for _, m := range []move.Move{m, m.Back(), m} {
				load.await(t, 50)
				_, err := m.Switch(t.Context())
				ok(t, err)
			}
			if s, err := m.Status(t.Context()); err != nil || s.Record == "" || len(s.Wrong) > 0 {
				t.Errorf("the status is %+v, %v", s, err)
			}
			load.await(t, 50)
			load.check(t)
			ok(t, m.Finish(t.Context()))
		})
	}
}

// Without a right, and with another secret, a plan says what gives it.
func TestPlanNamesMissingRights(t *testing.T) {
	long(t)
	t.Parallel()
	admin := newMove(t, 0, 1)
	m := withoutSuperuser(t, admin)
	role := admin.Roles.Prefix + "mover"
	for undo, want := range map[string]string{
		"ALTER ROLE " + role + " NOREPLICATION":                                      "ALTER ROLE " + role + " REPLICATION",
		"REVOKE pg_read_all_stats FROM " + role:                                      "GRANT pg_read_all_stats",
		"REVOKE pg_signal_backend FROM " + role:                                      "GRANT pg_signal_backend",
		"REVOKE pg_create_subscription FROM " + role:                                 "GRANT pg_create_subscription",
		"REVOKE SET OPTION FOR " + admin.Roles.Prefix + "parcels_owner FROM " + role: "GRANT " + admin.Roles.Prefix + "parcels_owner",
	} {
		run(t, admin.Source, undo)
		refuses(t, undo, m.Seed(t.Context()), want)
	}
	same := m
	same.Target = postgres.WithDatabase(m.Source, "parcels_beside")
	refuses(t, "with roles of another", same.Seed(t.Context()), "run seam setup there")
	file := filepath.Join(t.TempDir(), "passwords")
	ok(t, os.WriteFile(file, []byte("*:*:*:"+role+":moving"), 0o600))
	bare, err := url.Parse(m.Target)
	ok(t, err)
	bare.User, bare.RawQuery = url.User(role), bare.RawQuery+"&passfile="+file
	same.Target = bare.String()
	refuses(t, "with a password in a file", same.Seed(t.Context()), "name one in the URL itself")
	m.Roles.Secret = "another"
	refuses(t, "with another secret", m.Seed(t.Context()), "SEAM_ROLE_SECRET")
	run(t, admin.Source, "REVOKE "+admin.Roles.Prefix+"parcels_owner FROM "+role)
	_, err = m.Plan(t.Context())
	refuses(t, "without the owner's rights", err, "may not look at parcels: GRANT "+admin.Roles.Prefix+"parcels_owner")
}

// A role that may not see what others do waits for all of them.
func TestSessionsThatCannotBeSeenAreInFlight(t *testing.T) {
	long(t)
	t.Parallel()
	admin := newMove(t, 0, 1)
	m := withoutSuperuser(t, admin)
	seed(t, m)
	run(t, admin.Source, "REVOKE pg_read_all_stats FROM "+admin.Roles.Prefix+"mover")
	if err := inFlight(t, m); err == nil {
		t.Error("one commits on a side that has been left")
	}
}

// Before PostgreSQL 16 there are no such rights, and plan says so.
func TestPlanWantsASuperuser(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	if ask(t, m.Source, "SELECT (current_setting('server_version_num')::int / 10000)::text") >= "16" {
		t.Skip("the servers are of PostgreSQL 16 or later")
	}
	role := m.Roles.Prefix + "mover"
	u, err := url.Parse(m.Source)
	ok(t, err)
	run(t, m.Source, "CREATE ROLE "+role+" LOGIN PASSWORD 'moving'; GRANT CONNECT ON DATABASE "+strings.Trim(u.Path, "/")+" TO "+role+
		"; GRANT "+m.Roles.Prefix+"parcels_owner TO "+role)
	u.User = url.UserPassword(role, "moving")
	m.Source = u.String()
	refuses(t, "the seed", m.Seed(t.Context()), "name a superuser")
}
