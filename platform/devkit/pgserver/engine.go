package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// findEngine returns the first available engine: a local installation, Docker, a download. If a
// local installation then fails, that is an error and no reason to use another.
func findEngine(ctx context.Context, o Options, f *folder, log io.Writer) (engine, error) {
	if o.Docker {
		c, err := findDocker(ctx, o, f, log)
		if err != nil {
			return nil, fmt.Errorf("docker: %w", err)
		}
		return c, nil
	}
	local := func(bin string) engine {
		return &installation{bin: bin, folder: f, host: o.Host, encoding: o.Encoding, durable: o.Durable,
			log: log, out: o.Out}
	}
	version, err := os.ReadFile(filepath.Join(f.data(), "PG_VERSION"))
	made := strings.TrimSpace(string(version))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, bin := range binaryFolders() {
		if major := majorVersion(bin); major != "" && (made == "" || made == major) {
			return local(bin), nil
		}
	}
	if made != "" && made != downloadMajor {
		return nil, fmt.Errorf("the data in %s is of PostgreSQL %s, which is not installed: install it or remove them",
			f.path, made)
	}
	dockerErr := errors.New("not tried, because it cannot use the data in " + f.path) // it keeps its own in a volume
	if made == "" {
		var c *container
		if c, dockerErr = findDocker(ctx, o, f, log); dockerErr == nil {
			return c, nil
		}
	}
	bin, downloadErr := download(ctx, f.account, o.Out)
	if downloadErr == nil {
		return local(bin), nil
	}
	return nil, fmt.Errorf(`no PostgreSQL to start. Do one of these:
  - install PostgreSQL (apt install postgresql, brew install postgresql); it need not run
  - start Docker
  - set DATABASE_URL to the superuser of a running server
Tried: no initdb and postgres in PATH or the usual folders; Docker: %w; download: %w`, dockerErr, downloadErr)
}

// Installed reports whether a server can start from local binaries, without Docker or a download.
func Installed() bool {
	return slices.ContainsFunc(binaryFolders(), func(bin string) bool { return majorVersion(bin) != "" })
}

func settings(durable bool) []string {
	s := []string{
		"-c", "max_connections=400", // for four processes, their pools, and a test harness
		// A module's data can move to another database, by logical replication, and all of them at a
		// time: each needs a slot and a worker, and another two while its tables are copied.
		"-c", "wal_level=logical",
		"-c", "max_replication_slots=30",
		"-c", "max_wal_senders=30",
		"-c", "max_logical_replication_workers=20",
		"-c", "max_worker_processes=30",
		"-c", "wal_retrieve_retry_interval=200ms", // until a subscription begins, after another has ended
		"-c", "timezone=UTC",
		"-c", "log_timezone=UTC",
	}
	if durable {
		return append(s, "-c", "max_wal_size=4GB") // fewer checkpoints, after each of which whole pages are logged
	}
	return append(s, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
}
