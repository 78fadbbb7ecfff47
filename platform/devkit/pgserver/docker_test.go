package pgserver

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestDocker forces the fallback, which a machine with a local installation never uses.
func TestDocker(t *testing.T) {
	if os.Getenv("TEST_POSTGRES") != "docker" {
		t.Skip("set TEST_POSTGRES=docker")
	}
	t.Parallel()
	docker := func(ctx context.Context, o Options, f *folder, log io.Writer) (engine, error) {
		return findDocker(ctx, o, f, log)
	}
	s, err := startWith(t.Context(),
		Options{Durable: true, Image: os.Getenv("TEST_POSTGRES_IMAGE"), Out: os.Stderr, Log: os.Stderr}, docker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
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
