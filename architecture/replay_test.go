package architecture

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestContracts checks what the code does not show: whether the running system still handles the
// events that earlier releases stored.
func TestContracts(t *testing.T) {
	t.Parallel()
	tree := repository(t)
	replayStored(t, tree, databaseOf(t))
}

// databaseOf returns an admin connection to the database of the system that the environment names,
// as seam up -- COMMAND does. Without one the test is skipped.
func databaseOf(t *testing.T) *pgx.Conn {
	t.Helper()
	url := os.Getenv("SEAM_DATABASE_URL")
	if os.Getenv("SEAM_URL") == "" {
		t.Skip("SEAM_URL names no system: bin/seam up -- go test ./architecture starts one")
	}
	return connect(t, url)
}

// connect returns a connection that ends with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func write(t *testing.T, file, text string) {
	t.Helper()
	file = filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
