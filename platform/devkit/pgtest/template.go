package pgtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// template is a migrated database that is only ever copied. Its name is a hash of all that went into it, so a changed
// migration makes another template, and so is the prefix of its roles, which belong to the whole cluster.
type template struct {
	server  string
	name    string
	prefix  string // of the clones' names
	plan    postgres.Plan
	schemas []Schema
}

func newTemplate(server string, schemas []Schema) (*template, error) {
	cfg, err := pgx.ParseConfig(server)
	if err != nil || !strings.Contains(server, "://") {
		return nil, errors.New("the server's address is no URL") // without the text: it has a password
	}
	sum, err := fingerprint(schemas)
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%x", sum[:5])
	// Everybody who shares the server must come to the same password, and nobody else.
	plan := postgres.Plan{Prefix: "t" + id + "_", Password: fmt.Sprintf("%x", sha256.Sum256([]byte(cfg.Password+id)))[:32]}
	for _, s := range schemas {
		plan.Modules = append(plan.Modules, s.Module)
	}
	return &template{server: server, name: "template_" + id, prefix: "test_" + id + "_", plan: plan, schemas: schemas}, nil
}

// clone copies the template, which it makes if there is none yet.
func (m *template) clone(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, m.server)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const tries = 5
	for try := 1; ; try++ {
		_, err := conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+m.name)
		switch {
		case err == nil || try == tries:
			return err
		case postgres.HasCode(err, "3D000"): // invalid_catalog_name: there is no template yet
			if err := m.create(ctx, conn); err != nil {
				return fmt.Errorf("create template: %w", err)
			}
		// object_in_use: an autovacuum, for PostgreSQL has already waited 5 s for it
		case postgres.HasCode(err, "55006"):
		default:
			return err
		}
	}
}

// create builds the template under another name, so that it is complete when it gets its own. The lock goes with the
// connection's end, and test processes on the same server wait for it.
func (m *template) create(ctx context.Context, conn *pgx.Conn) error {
	const lockKey = "hashtextextended('pgtest.' || $1, 0)"
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock("+lockKey+")", m.name); err != nil {
		return err
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock("+lockKey+")", m.name)
	}()
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", m.name).Scan(&exists)
	if exists || err != nil {
		return err
	}
	building := m.name + "_building"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+building+" WITH (FORCE)"); err != nil { // of a killed process
		return err
	}
	buildURL := postgres.WithDatabase(m.server, building)
	if err := postgres.Provision(ctx, buildURL, m.plan); err != nil {
		return err
	}
	for _, s := range m.schemas {
		if err := postgres.Migrate(ctx, m.plan.MigrateURL(buildURL, s.Module), s.Migrations); err != nil {
			return fmt.Errorf("module %s: %w", s.Module, err)
		}
	}
	// Copying fails while anybody is connected to the original, so from here on nobody can be.
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+building+" ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+m.name)
	return err
}

// fingerprint covers whatever decides what the template contains.
func fingerprint(schemas []Schema) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintln(h, postgres.Fingerprint())
	for _, s := range schemas {
		fmt.Fprintf(h, "module %s\n", s.Module)
		if err := hashFiles(h, s.Migrations); err != nil {
			return nil, fmt.Errorf("read migrations of %s: %w", s.Module, err)
		}
	}
	return h.Sum(nil), nil
}

func hashFiles(h hash.Hash, files fs.FS) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		fmt.Fprintf(h, "file %s %d\n%s", path, len(text), text)
		return err
	})
}
