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

// template is a migrated database that is only copied. Its name, and its roles' prefix, have a hash
// of its sources, so a changed migration makes another template. Roles belong to the whole server.
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
		return nil, errors.New("the server's address is not a URL") // not quoted: it has a password
	}
	sum, err := fingerprint(schemas)
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%x", sum[:5])
	// Every process on the server must derive the same passwords, and only with the server's.
	plan := postgres.Plan{Prefix: "t" + id + "_", Secret: cfg.Password + id, Connections: -1} // any number: tests share the roles
	for _, s := range schemas {
		plan.Modules = append(plan.Modules, s.Module)
	}
	name, prefix := "template_"+id, "test_"+id+"_"
	return &template{server: server, name: name, prefix: prefix, plan: plan, schemas: schemas}, nil
}

// clone copies the template, and creates it if necessary.
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
		// object_in_use: by autovacuum; PostgreSQL has already waited 5 s for it
		case postgres.HasCode(err, "55006"):
		default:
			return err
		}
	}
}

// create builds the template under another name, and renames it when it is complete. Processes on
// the same server wait for the lock, which also ends with the connection.
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
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+building+" WITH (FORCE)"); err != nil { // a killed process's
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
	// A copy fails while a client is connected to the original, so from here on none may connect.
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+building+" ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+m.name)
	return err
}

// fingerprint hashes all that determines the template's contents.
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
