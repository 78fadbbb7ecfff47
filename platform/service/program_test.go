package service

import (
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/process"
)

func TestURLs(t *testing.T) {
	t.Setenv("TEA_DATABASE_URL", " postgres://tea ")
	t.Setenv("MILK_DATABASE_URL", "")
	p := Program[struct{}]{Migrations: map[string]fs.FS{"tea": nil, "milk": nil}}
	if _, err := p.urls("DATABASE_URL"); !errors.Is(err, process.ErrUsage) || !strings.HasSuffix(err.Error(), "not set: MILK_DATABASE_URL") {
		t.Errorf("got %v, want a usage error that names the setting", err)
	}
	p.Serves = func() ([]string, error) { return []string{"tea"}, nil }
	if urls, err := p.urls("DATABASE_URL"); err != nil || !maps.Equal(urls, map[string]string{"tea": "postgres://tea"}) {
		t.Errorf("got %v, %v", urls, err)
	}
}

// The scripts of a schema's sample data run each time, after its migrations.
func TestSeed(t *testing.T) {
	migrations := fstest.MapFS{
		"0001_leaves.sql": {Data: []byte("-- +goose Up\nCREATE TABLE leaves (name text PRIMARY KEY);\n")},
		"seed/leaves.sql": {Data: []byte("INSERT INTO leaves VALUES ('assam') ON CONFLICT DO NOTHING; INSERT INTO leaves VALUES ('ceylon') ON CONFLICT DO NOTHING")},
	}
	db := pgtest.New(t, pgtest.Schema{Module: "tea", Migrations: migrations})
	t.Setenv("TEA_MIGRATE_URL", db.MigrateURL("tea"))
	p := Program[struct{}]{Migrations: map[string]fs.FS{"tea": migrations}}
	for range 2 {
		if err := p.migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := p.seed(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	rows, _ := db.Admin(t).Query(t.Context(), "SELECT name FROM tea.leaves ORDER BY name") // CollectRows returns the error
	if names, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || strings.Join(names, " ") != "assam ceylon" {
		t.Errorf("got %q, %v", names, err)
	}
}

// A module that the composition root leaves out, or calls by another name, would serve nothing.
func TestWire(t *testing.T) {
	for wires, refusal := range map[string]string{
		"tea": "", "": "does not wire it", "tee": "has no migrations of it", "tea tea": "twice",
	} {
		p := Program[struct{}]{Name: "till", Migrations: map[string]fs.FS{"tea": fstest.MapFS{}}, Wire: func(_ struct{}, add Add) {
			for _, module := range strings.Fields(wires) {
				add(module, func(*Parts) Module { return &tea{} })
			}
		}}
		added := 0
		err := p.wire(struct{}{}, []string{"tea"}, func(string, func(*Parts) Module) error { added++; return nil })
		if refusal == "" && (err != nil || added != 1) || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
			t.Errorf("%q: got %v, and %d added", wires, err, added)
		}
	}
}
