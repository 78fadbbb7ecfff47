package pgtest

import (
	"context"
	"os"
	"sync"

	"example.com/shop/platform/devkit/pgserver"
)

// serverURL starts one server for the whole test process, which the guard of package child stops
// when the process has ended, in whatever way.
var serverURL = sync.OnceValues(func() (string, error) {
	if url := os.Getenv("TEST_DATABASE_URL"); url != "" {
		return url, nil
	}
	// It outlives the first test.
	server, err := pgserver.Start(context.Background(), pgserver.Options{
		Docker: os.Getenv("TEST_POSTGRES") == "docker", Image: os.Getenv("TEST_POSTGRES_IMAGE"), Out: os.Stderr,
	})
	if err != nil {
		return "", err
	}
	return server.URL(), nil
})

// Start starts the server before the first test, for a TestMain that counts goroutines.
func Start() error {
	_, err := serverURL()
	return err
}
