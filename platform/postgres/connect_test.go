package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// own is a database with its own roles, which a test may change, unlike pgtest's.
type own struct {
	url            *url.URL // the admin's
	password, name string
	plan           postgres.Plan
}

func newOwn(t *testing.T) *own {
	t.Helper()
	db := pgtest.New(t)
	u, err := url.Parse(db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	plan := postgres.Plan{Modules: []string{"marks"}, Prefix: db.Name + "_", Secret: "p&=?'ß"}
	o := &own{url: u, name: db.Name, plan: plan}
	o.password, _ = u.User.Password()
	t.Cleanup(func() {
		for _, role := range []string{"owner", "migrate", "rt"} {
			role = db.Name + "_marks_" + role
			o.exec(t, "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role)
		}
	})
	return o
}

// exec runs statements as admin.
func (o *own) exec(t *testing.T, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, o.url.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range append([]string{"SET default_transaction_read_only = off"}, statements...) {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// open does what setup, migrate and serve do with an admin connection, and returns the session of
// the serving process.
func (o *own) open(t *testing.T, admin string) (session string, err error) {
	t.Helper()
	if err := postgres.Provision(t.Context(), admin, o.plan); err != nil {
		return "", err
	}
	if err := o.migrate(t, o.plan.MigrateURL(admin, "marks")); err != nil {
		return "", err
	}
	return o.serve(t, o.plan.RuntimeURL(admin, "marks"))
}

func (o *own) migrate(t *testing.T, url string) error {
	return postgres.Migrate(t.Context(), url, schema)
}

func (o *own) serve(t *testing.T, url string) (session string, err error) {
	t.Helper()
	marks, err := postgres.Open(t.Context(), "marks", url, 1, schema)
	if err != nil {
		return "", err
	}
	defer marks.Close()
	err = marks.QueryRow(t.Context(), `SELECT format('%s in %s.%s', session_user, current_database(), nspname)
		FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
		WHERE pg_class.oid = 'marks'::regclass`).Scan(&session)
	return session, err
}

// listen returns a folder with a UNIX socket that leads to the server.
func (o *own) listen(t *testing.T) (folder string) {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "seam-socket-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	listener, err := net.Listen("unix", filepath.Join(folder, ".s.PGSQL.5433"))
	if err != nil {
		t.Fatal(err)
	}
	wire.On(t, listener, o.url.Host)
	return folder
}

func expectUsage(t *testing.T, what string, err error, says string) {
	t.Helper()
	if err == nil || !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), says) {
		t.Fatalf("%s: got %v, want the usage error %q", what, err, says)
	}
}

// With every form of an address each process connects to the module's schema with the module's
// role.
func TestEveryFormOfAnAddress(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	user, password, folder := o.url.User.Username(), url.QueryEscape(o.password), o.listen(t)
	host := o.url.Host
	for _, admin := range []string{
		o.url.String(),
		fmt.Sprintf("postgres:///%s?host=%s&port=5433&user=%s&password=%s", o.name, folder, user, password),
		fmt.Sprintf("postgres://%s:%s@/%s?host=%s&port=5433", user, password, o.name, folder),
		fmt.Sprintf("postgres://%s:%s@%s:5433/%s", user, password, strings.ReplaceAll(folder, "/", "%2F"), o.name),
		fmt.Sprintf("postgresql://%s:%s@%s:5433?dbname=%s", user, password, url.PathEscape(folder), o.name),
		fmt.Sprintf("postgres://%s:%s@%s?sslmode=disable&dbname=%s", user, password, host, o.name),
		fmt.Sprintf("postgres://another:one@%s,%s/postgres?dbname=%s&user=%s&password=%s&sslmode=disable",
			host, host, o.name, user, password),
	} {
		session, err := o.open(t, admin)
		if want := o.name + "_marks_rt in " + o.name + ".marks"; err != nil || session != want {
			t.Errorf("%s: it is %q, want %q; %v", admin, session, want, err)
		}
		for _, role := range []string{o.plan.RuntimeURL(admin, "marks"), o.plan.MigrateURL(admin, "marks")} {
			if strings.Contains(role, o.password) {
				t.Errorf("%s has the admin's password", role)
			}
		}
	}
	// A module's own connection may also be keyword=value pairs.
	words := fmt.Sprintf("host=%s port=5433 dbname=%s user=%s_marks_rt password=%s",
		folder, o.name, o.name, o.plan.RuntimePassword("marks"))
	if _, err := o.serve(t, words); err != nil {
		t.Errorf("%s: %v", words, err)
	}
}

// Session settings in an address, and another's role, are refused before anything is created.
func TestAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	admin := o.url.String()
	if _, err := o.open(t, admin); err != nil {
		t.Fatal(err)
	}
	runtime, migrate := o.plan.RuntimeURL(admin, "marks"), o.plan.MigrateURL(admin, "marks")
	as := func(address string) string { // the admin, by parameters
		return address + "&user=" + o.url.User.Username() + "&password=" + url.QueryEscape(o.password)
	}
	fresh := postgres.Plan{Modules: []string{"fresh"}, Prefix: o.name + "_", Secret: "x"}
	provision := func(address string) error { return postgres.Provision(t.Context(), address, fresh) }
	open := func(address string) error { _, err := o.serve(t, address); return err }
	up := func(address string) error { return o.migrate(t, address) }
	for name, test := range map[string]struct {
		do      func(string) error
		address string
		says    string
	}{
		"options":               {open, runtime + "&options=-c%20search_path%3Dpublic", `the parameter "options"`},
		"a search path":         {open, runtime + "&search_path=public", `"search_path"`},
		"a service":             {open, runtime + "&service=app", `"service"`},
		"the pool's size":       {open, runtime + "&pool_max_conns=3", `"pool_max_conns"`},
		"no types":              {open, runtime + "&default_query_exec_mode=exec", "default_query_exec_mode=exec"},
		"no types either":       {open, runtime + "&default_query_exec_mode=simple_protocol", "mode=simple_protocol"},
		"no statements":         {open, runtime + "&statement_cache_capacity=0", "statement_cache_capacity"},
		"no descriptions":       {open, runtime + "&description_cache_capacity=0", "description_cache_capacity"},
		"options of migrate":    {up, migrate + "&options=-c%20role%3Dnone", `"options"`},
		"options of the admin":  {provision, admin + "&options=-c%20role%3Dnone", `"options"`},
		"a time zone":           {provision, admin + "&timezone=Asia/Tokyo", `"timezone"`},
		"words of the admin":    {provision, "host=localhost dbname=app", "must be a URL with a database"},
		"a serving admin":       {open, as(runtime), `leads to the schema "public": name the runtime connection`},
		"a serving migrate":     {open, migrate, "name the role marks_rt"},
		"a migrating admin":     {up, as(migrate), "name a module's role, such as parcels_migrate"},
		"a migrating runtime":   {up, runtime, "name a module's role, such as parcels_migrate"},
		"a setup without sense": {provision, "postgres://%zz@localhost/app", "read the admin connection"},
	} {
		expectUsage(t, name, test.do(test.address), test.says)
	}
	for _, mode := range []string{"cache_describe", "describe_exec"} {
		if err := open(runtime + "&default_query_exec_mode=" + mode); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	conn, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var made int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_roles WHERE rolname LIKE $1) +
		(SELECT count(*) FROM pg_tables WHERE schemaname = 'public')`, o.name+"_fresh%").Scan(&made)
	if err != nil || made > 0 {
		t.Errorf("%d roles and tables were created; %v", made, err)
	}
}

// A role's settings override the server's defaults. A setting for this role and database is refused
// at the start, with a message that says what to do.
func TestTheServersDefaults(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	for _, set := range []string{
		"default_transaction_isolation = 'serializable'", "default_transaction_read_only = on",
		"standard_conforming_strings = off", "client_encoding = 'LATIN1'", "timezone = 'Asia/Tokyo'",
		"datestyle = 'German, DMY'", "intervalstyle = 'sql_standard'", "bytea_output = 'escape'",
		"search_path = 'pg_catalog'", "lock_timeout = 1", "idle_session_timeout = '10s'", "statement_timeout = '9s'",
	} {
		o.exec(t, "ALTER DATABASE "+o.name+" SET "+set)
	}
	admin := o.url.String()
	if _, err := o.open(t, admin); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{o.plan.RuntimeURL(admin, "marks"), o.plan.MigrateURL(admin, "marks")} {
		conn, err := pgx.Connect(t.Context(), role)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(t.Context()))
		for name, want := range map[string]string{
			"default_transaction_isolation": "read committed", "default_transaction_read_only": "off",
			"standard_conforming_strings": "on", "client_encoding": "UTF8", "timezone": "UTC",
			"datestyle": "ISO, MDY", "intervalstyle": "postgres", "bytea_output": "hex",
			"search_path": "marks", "lock_timeout": "5s", "idle_session_timeout": "0",
		} {
			var got string
			err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got)
			if err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q; %v", conn.Config().User, name, got, want, err)
			}
		}
	}

	role, runtime := o.name+"_marks_rt", o.plan.RuntimeURL(admin, "marks")
	for _, test := range []struct{ change, says string }{
		{"DROP SCHEMA marks CASCADE", "run seam setup again"},
		// As a setup of an older version left it.
		{"ALTER ROLE " + role + " RESET ALL; ALTER ROLE " + role + " SET search_path = marks", "run seam setup again"},
		{"ALTER ROLE " + role + " IN DATABASE " + o.name + " SET default_transaction_isolation = 'repeatable read'",
			`default_transaction_isolation is "repeatable read" for the role ` + role},
		{"ALTER ROLE " + role + " SET statement_timeout = 0", "higher limits than it was given (statement_timeout): run seam setup again"},
		{"ALTER ROLE " + role + " IN DATABASE " + o.name + " SET lock_timeout = '1h'", "(lock_timeout): run seam setup again"},
	} {
		if _, err := o.open(t, admin); err != nil {
			t.Errorf("after a setup: %v", err)
		}
		o.exec(t, test.change)
		_, err := o.serve(t, runtime)
		expectUsage(t, test.change, err, test.says)
		if strings.HasPrefix(test.change, "DROP SCHEMA") {
			expectUsage(t, "migrating without a schema", o.migrate(t, o.plan.MigrateURL(admin, "marks")), test.says)
		}
	}
}

// Where no server is, one line says so, and each try once, though there is one with TLS and one
// without.
func TestAServerThatIsNotThereIsOneLine(t *testing.T) {
	t.Parallel()
	const nowhere = "postgres://ada@127.0.0.1:1/shop"
	_, opened := postgres.Open(t.Context(), "marks", nowhere, 2, nil)
	_, connected := postgres.Connect(t.Context(), nowhere)
	for name, err := range map[string]error{
		"open": opened, "connect": connected, "provision": postgres.Provision(t.Context(), nowhere, postgres.Plan{Secret: "s"}),
	} {
		if text := fmt.Sprint(err); strings.Contains(text, "\n") || strings.Count(text, "127.0.0.1:1 ") != 1 {
			t.Errorf("%s: %s", name, text)
		}
		if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
			t.Errorf("%s: %T", name, err)
		}
	}
}
