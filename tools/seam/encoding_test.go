package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/postgres"
)

// On a server with another encoding the new database is UTF8. An existing one cannot be changed,
// and is refused before anything is created in it, by setup, migrate and serve.
func TestOnlyUTF8(t *testing.T) {
	t.Parallel()
	if !pgserver.Installed() {
		t.Skip("it needs a PostgreSQL on this machine to make a cluster with: an installation's initdb")
	}
	server, err := pgserver.Start(t.Context(), pgserver.Options{Encoding: "LATIN1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	admin, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	key, err := tokens.LoadOrCreate(t.TempDir() + "/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, create := range []string{
		"CREATE DATABASE latin1", "CREATE DATABASE sql_ascii ENCODING 'SQL_ASCII' TEMPLATE template0",
	} {
		if _, err := admin.Exec(t.Context(), create); err != nil {
			t.Fatal(err)
		}
	}
	module := aModule()
	env := func(database string) []string {
		url := postgres.WithDatabase(server.URL(), database)
		return []string{"DATABASE_URL=" + url, "SEAM_ROLE_SECRET=secret",
			strings.ToUpper(module) + "_MIGRATE_URL=" + url, setting(module) + "=" + url,
			"SERVICE_TOKEN=x", "AUTH_PUBLIC_KEY=" + key.PublicPEM(), "HTTP_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0"}
	}
	for _, database := range []string{"latin1", "sql_ascii"} {
		for _, command := range [][]string{{"seam", "setup"}, {module, "migrate"}, {module, "serve"}} {
			said, code := run(t, env(database), command[0], command[1:]...)
			want := "encoding " + strings.ToUpper(database)
			if code != 2 || !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
				t.Errorf("%s: exit code %d, said %q; want 2 and a line with %q", command, code, said, want)
			}
		}
	}
	var roles int
	err = admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, $1)", module+"_").Scan(&roles)
	if err != nil || roles > 0 {
		t.Errorf("%d roles were made all the same; %v", roles, err)
	}
	if said, code := run(t, env("shop"), "seam", "setup"); code != 0 {
		t.Fatalf("a database of its own: exit code %d, said %q", code, said)
	}
	own, err := pgx.Connect(t.Context(), postgres.WithDatabase(server.URL(), "shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close(context.WithoutCancel(t.Context()))
	var kept string
	err = own.QueryRow(t.Context(), "SELECT current_setting('server_encoding') || ' łukasz@mail.example'").Scan(&kept)
	if err != nil || kept != "UTF8 łukasz@mail.example" {
		t.Errorf("a database of its own keeps %q; %v", kept, err)
	}
}
