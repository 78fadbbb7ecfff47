package pgtest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/pgserver"
)

// serverURL is one server for the whole test process. Nobody stops it: the guard of package child or the reaper of
// testcontainers does when the process has ended, in whatever way.
var serverURL = sync.OnceValues(func() (string, error) {
	ctx := context.Background() // it outlives the test that happens to be first
	if url := os.Getenv("TEST_DATABASE_URL"); url != "" {
		return url, nil
	}
	if os.Getenv("TEST_POSTGRES") == "docker" {
		pgserver.IgnoreShell()
		return startContainer(ctx, cmp.Or(os.Getenv("TEST_POSTGRES_IMAGE"), pgserver.DefaultImage))
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Image: os.Getenv("TEST_POSTGRES_IMAGE"), Out: os.Stderr})
	if err != nil {
		return "", err
	}
	return server.URL(), nil
})

// Start starts the server ahead of the first test, for a TestMain that counts goroutines: those of the server are there before.
func Start() error {
	_, err := serverURL()
	return err
}

// removeWithProcess takes the place of testcontainers' reaper where that is disabled, because its image cannot be pulled: the guard of
// package child removes the container when this process has ended.
func removeWithProcess(id string) error {
	if os.Getenv("TESTCONTAINERS_RYUK_DISABLED") != "true" {
		return nil
	}
	_, err := child.Start(child.Options{
		Name: "container", Path: "docker", Args: []string{"wait", id}, Out: io.Discard,
		Cleanup: []string{"docker", "rm", "--force", "--volumes", id},
	})
	return err
}

// startContainer waits for a login. The usual wait for two lines in the log is a wait for an entrypoint's habits.
func startContainer(ctx context.Context, image string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	container, err := postgres.Run(ctx, image, testcontainers.WithCmdArgs(
		"-c", "max_connections=300", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"))
	if err != nil {
		return "", fmt.Errorf("start container: %w", err)
	}
	if err := removeWithProcess(container.GetContainerID()); err != nil {
		return "", err
	}
	url, err := container.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return "", fmt.Errorf("find container: %w", err)
	}
	if err := pgserver.Ping(ctx, url); err != nil {
		return "", fmt.Errorf("log in to container: %w", err)
	}
	return url, nil
}
