package pgserver_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgserver"
)

func TestDocker(t *testing.T) {
	if os.Getenv("TEST_POSTGRES") != "docker" {
		t.Skip("set TEST_POSTGRES=docker")
	}
	t.Parallel()
	s := start(t, pgserver.Options{
		Docker: true, Image: os.Getenv("TEST_POSTGRES_IMAGE"), Durable: true, Out: os.Stderr, Log: os.Stderr,
	})
	ctx, address := t.Context(), s.URL()
	for name, fault := range map[string]func() error{"immediate": s.Immediate, "kill": s.Kill} {
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "CREATE TABLE after_"+name+" (id int)"); err != nil {
			t.Error(err)
		}
		conn.Close(ctx)
		if err := fault(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Restart(ctx); err != nil {
			t.Fatalf("restart after %s: %v", name, err)
		}
		if conn, err = pgx.Connect(ctx, address); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "TABLE after_"+name); err != nil {
			t.Error(err)
		}
		conn.Close(ctx)
	}
}
