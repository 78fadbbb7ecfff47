package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// In a database that was made by hand PUBLIC may do much. Setup revokes it, as in its own.
func TestADatabaseThatExistedIsClosed(t *testing.T) {
	t.Parallel()
	o := byHand(t)
	admin := o.url.String()
	// As an old server had it, or somebody granted.
	o.exec(t, "GRANT CREATE ON DATABASE "+o.name+" TO PUBLIC", "GRANT ALL ON SCHEMA public TO PUBLIC",
		"GRANT SELECT ON pg_catalog.pg_largeobject TO PUBLIC")
	if open := leftToOwner(t, o, admin); len(open) != 4 {
		t.Fatalf("PUBLIC has %q, want rights of four kinds: the search is broken", open)
	}
	if _, err := o.open(t, admin); err != nil {
		t.Fatal(err)
	}
	if open := leftToOwner(t, o, admin); len(open) > 0 {
		t.Errorf("after setup PUBLIC still has %q", open)
	}
	conn, err := pgx.Connect(t.Context(), o.plan.RuntimeURL(admin, "marks"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range []string{
		"CREATE TEMP TABLE mine (id int)", "CREATE SCHEMA mine", "CREATE TABLE public.mine (id int)", "SELECT lo_from_bytea(0, 'secret')",
		"SELECT loread(1, 1)", "SELECT data FROM pg_largeobject",
		"SELECT lo_create(0)", "SELECT lo_creat(-1)", "SELECT lo_get(1)", "SELECT lo_open(1, 262144)",
	} {
		if _, err := conn.Exec(t.Context(), statement); !postgres.HasCode(err, "42501") { // insufficient_privilege
			t.Errorf("%s: %v, want a refusal", statement, err)
		}
	}
	o.exec(t, "CREATE ROLE "+o.name+"_other LOGIN PASSWORD 'x'")
	t.Cleanup(func() { o.exec(t, "DROP ROLE "+o.name+"_other") })
	other := *o.url
	other.User = url.UserPassword(o.name+"_other", "x")
	if conn, err := pgx.Connect(t.Context(), other.String()); !postgres.HasCode(err, "42501") {
		if err == nil {
			_ = conn.Close(t.Context())
		}
		t.Errorf("a role of none of the modules connects: %v, want a refusal", err)
	}
}

// An admin who is neither superuser nor the database's owner gets the statements for one who is.
func TestWhatTheAdminMayNotDoIsListed(t *testing.T) {
	t.Parallel()
	o := byHand(t)
	role := o.name + "_admin"
	o.exec(t, "CREATE ROLE "+role+" LOGIN CREATEROLE PASSWORD 'x'", "GRANT CREATE ON DATABASE "+o.name+" TO "+role)
	t.Cleanup(func() { o.exec(t, "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role) })
	admin := *o.url
	admin.User = url.UserPassword(role, "x")
	if _, err := o.open(t, admin.String()); err != nil {
		t.Fatal(err)
	}
	open := leftToOwner(t, o, admin.String())
	var found []string
	for _, statement := range open {
		what, _, _ := strings.Cut(statement, "(") // of a function's arguments
		found = append(found, what)
	}
	want := []string{
		"GRANT CONNECT ON DATABASE " + o.name + " TO " + o.plan.Prefix + "marks_migrate, " + o.plan.Prefix + "marks_rt",
		"REVOKE CONNECT, TEMPORARY ON DATABASE " + o.name + " FROM PUBLIC",
		"REVOKE EXECUTE ON FUNCTION lo_close", "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("the statements: %s", diff)
	}
	o.exec(t, open...)
	if open := leftToOwner(t, o, o.url.String()); len(open) > 0 {
		t.Errorf("after them there is %q to do", open)
	}
	if _, err := o.serve(t, o.plan.RuntimeURL(o.url.String(), "marks")); err != nil {
		t.Errorf("after them the module cannot connect: %v", err)
	}
}

// byHand is newOwn, of a database that CREATE DATABASE alone has made.
func byHand(t *testing.T) *own {
	t.Helper()
	o := newOwn(t)
	before := o.url.Path
	o.name += "_by_hand"
	o.exec(t, "CREATE DATABASE "+o.name)
	t.Cleanup(func() {
		o.url.Path = before
		o.exec(t, "DROP DATABASE "+o.name+" WITH (FORCE)")
	})
	o.url.Path = "/" + o.name
	return o
}

func leftToOwner(t *testing.T, o *own, admin string) []string {
	t.Helper()
	open, err := postgres.LeftToOwner(t.Context(), admin, o.plan)
	if err != nil {
		t.Fatal(err)
	}
	return open
}
