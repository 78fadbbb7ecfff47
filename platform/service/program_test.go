package service

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
)

func TestURLs(t *testing.T) {
	t.Setenv("LAMPS_DATABASE_URL", " postgres://lamps ")
	t.Setenv("TOLLS_DATABASE_URL", "")
	p := Program[struct{}]{Migrations: map[string]fs.FS{"lamps": nil, "tolls": nil}}
	if _, err := p.urls("DATABASE_URL"); !errors.Is(err, process.ErrUsage) || !strings.HasSuffix(err.Error(), "not set: TOLLS_DATABASE_URL") {
		t.Errorf("got %v, want a usage error that names the setting", err)
	}
	p.Serves = func() ([]string, error) { return []string{"lamps"}, nil }
	if urls, err := p.urls("DATABASE_URL"); err != nil || !maps.Equal(urls, map[string]string{"lamps": "postgres://lamps"}) {
		t.Errorf("got %v, %v", urls, err)
	}
}

// A migration records which modules there are by now.
func TestMigrateRecordsTheModules(t *testing.T) {
	migrations := fstest.MapFS{"0001_nothing.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	db := pgtest.New(t, pgtest.Schema{Module: "lamps", Migrations: migrations}, pgtest.Schema{Module: "tolls", Migrations: migrations})
	t.Setenv("LAMPS_MIGRATE_URL", db.MigrateURL("lamps"))
	lamps := db.Module(t, "lamps")
	if _, err := lamps.Exec(t.Context(), "INSERT INTO bus (name) VALUES ('memory')"); err != nil { // as the last release does
		t.Fatal(err)
	}
	if err := (Program[struct{}]{Migrations: map[string]fs.FS{"lamps": migrations}}).migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var modules []string
	if err := lamps.QueryRow(t.Context(), "SELECT modules FROM bus").Scan(&modules); err != nil || strings.Join(modules, " ") != "lamps tolls" {
		t.Errorf("got %q, %v", modules, err)
	}
}

// The scripts of a schema's sample data run each time, after its migrations.
func TestSeed(t *testing.T) {
	migrations := fstest.MapFS{
		"0001_bulbs.sql": {Data: []byte("-- +goose Up\nCREATE TABLE bulbs (name text PRIMARY KEY);\n")},
		"seed/bulbs.sql": {Data: []byte("INSERT INTO bulbs VALUES ('amber') ON CONFLICT DO NOTHING; INSERT INTO bulbs VALUES ('clear') ON CONFLICT DO NOTHING")},
	}
	db := pgtest.New(t, pgtest.Schema{Module: "lamps", Migrations: migrations})
	t.Setenv("LAMPS_MIGRATE_URL", db.MigrateURL("lamps"))
	p := Program[struct{}]{Migrations: map[string]fs.FS{"lamps": migrations}}
	for range 2 {
		if err := p.migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := p.seed(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	rows, _ := db.Admin(t).Query(t.Context(), "SELECT name FROM lamps.bulbs ORDER BY name") // CollectRows returns the error
	if names, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || strings.Join(names, " ") != "amber clear" {
		t.Errorf("got %q, %v", names, err)
	}
}

// A module that the composition root leaves out, or calls by another name, would serve nothing.
func TestWire(t *testing.T) {
	for wires, refusal := range map[string]string{
		"lamps": "", "": "does not wire it", "lamp": "has no migrations of it", "lamps lamps": "twice",
	} {
		p := Program[struct{}]{Name: "station", Migrations: map[string]fs.FS{"lamps": fstest.MapFS{}}, Wire: func(_ struct{}, add Add) {
			for _, module := range strings.Fields(wires) {
				add(module, func(*Parts) Module { return &lamps{} })
			}
		}}
		added := 0
		err := p.wire(struct{}{}, []string{"lamps"}, func(string, func(*Parts) Module) error { added++; return nil })
		if refusal == "" && (err != nil || added != 1) || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
			t.Errorf("%q: got %v, and %d added", wires, err, added)
		}
	}
}

// No process of a deployment that was never told where it runs reaches another host as on a laptop.
func TestProductionRefusesADatabaseInTheClear(t *testing.T) {
	for _, what := range []string{"DATABASE", "MIGRATE"} {
		t.Setenv("LAMPS_"+what+"_URL", "postgres://lamps:secret@db.example/shop?sslmode=disable")
	}
	t.Setenv("AUTH_ISSUER", "https://id.example")
	p := Program[struct{}]{
		Name: "lamps", Migrations: map[string]fs.FS{"lamps": fstest.MapFS{}},
		Bus: func(struct{}, string, string, *slog.Logger) (Bus, error) { return events.NewMemoryBus(), nil },
	}
	for what, verb := range map[string]func(context.Context, []string) error{
		"DATABASE": p.serve, "MIGRATE": p.migrate, "MIGRATE ": p.seed,
	} {
		err := verb(t.Context(), nil)
		want := "\n  LAMPS_" + strings.TrimSpace(what) + "_URL may reach another host without TLS: add sslmode=verify-full to it"
		if !errors.Is(err, process.ErrUsage) || !strings.HasSuffix(err.Error(), want) || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
