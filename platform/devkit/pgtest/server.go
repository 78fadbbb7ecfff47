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

// serverURL starts one server for the whole test process. The guard of package child or the reaper
// of testcontainers stops it when the process has ended, in whatever way.
var serverURL = sync.OnceValues(func() (string, error) {
	ctx := context.Background() // the server outlives the first test
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

// Start starts the server before the first test, for a TestMain that counts goroutines.
func Start() error {
	_, err := serverURL()
	return err
}

// removeWithProcess removes the container when this process has ended, by the guard of package
// child, where testcontainers' reaper is disabled because its image cannot be pulled.
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

// startContainer waits for a login, which is surer than the usual wait for two lines in the log.
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
