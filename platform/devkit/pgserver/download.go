package pgserver

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"example.com/shop/platform/devkit/freeport"
)

// downloadMajor is the major version to download.
const downloadMajor = "17"

// download returns the folder of the binaries that the embedded-postgres project publishes on Maven
// Central, and fetches them once. The library has no function for this alone, so it also starts a
// server. As root that fails, because PostgreSQL refuses root, but by then the binaries are there.
func download(ctx context.Context, as *account, out io.Writer) (bin string, err error) {
	cache := "/var/lib/seam" // the account cannot read root's own cache
	if as == nil {
		if cache, err = os.UserCacheDir(); err != nil {
			return "", err
		}
		cache = filepath.Join(cache, "seam")
	}
	final := filepath.Join(cache, "postgresql-"+downloadMajor)
	bin = filepath.Join(final, "bin")
	if majorVersion(bin) == downloadMajor {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", err
	}
	port, err := freeport.Find(ctx)
	if err != nil {
		return "", err
	}
	fresh := filepath.Join(work, "postgresql")
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.V17).Port(uint32(port)).Logger(io.Discard).CachePath(work).
		BinariesPath(fresh).RuntimePath(filepath.Join(work, "run")).DataPath(filepath.Join(work, "run", "data")))

	defer announce(out, "downloading PostgreSQL "+downloadMajor)()
	started := make(chan error, 1)
	go func() { // the library takes no context; after a timeout it ends with the process
		err := library.Start()
		if err == nil {
			err = library.Stop()
		}
		started <- err
	}()
	select {
	case err = <-started:
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(5 * time.Minute):
		return "", fmt.Errorf("it took more than five minutes")
	}
	if majorVersion(filepath.Join(fresh, "bin")) != downloadMajor {
		return "", err
	}
	if err := os.Rename(fresh, final); err != nil && majorVersion(bin) != downloadMajor { // else another was faster
		return "", err
	}
	return bin, nil
}
