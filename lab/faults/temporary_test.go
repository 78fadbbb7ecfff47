package faults

import (
	"errors"
	"os"
	"time"

	"example.com/shop/platform/devkit/child"
)

// sweep removes a folder repeatedly, because processes may still write: a frozen one is killed
// after ten seconds, and a test in a network of its own waits as long for each of its own. Only
// then can the small disk be unmounted, too.
const sweep = `for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do
	umount "$1"/seam-*/postgres
	rm -rf "$1"
	sleep 1
done`

// inOneFolder has this process and all that it starts create their temporary files in one folder.
// Remove deletes it. If this process is interrupted, killed or times out, the guards end what it
// started, and one of them sweeps the folder.
func inOneFolder() (remove func(), err error) {
	folder, err := os.MkdirTemp("", "shop-faults-")
	if err != nil {
		return nil, err
	}
	// PostgreSQL's own user has to enter it.
	if err := errors.Join(os.Chmod(folder, 0o755), os.Setenv("TMPDIR", folder)); err != nil {
		return nil, errors.Join(err, os.Remove(folder))
	}
	idle, err := child.Start(child.Options{ // only for its guard
		Name: "sweep", Path: "tail", Args: []string{"-f", "/dev/null"}, Cleanup: []string{"/bin/sh", "-c", sweep, "sh", folder},
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(folder))
	}
	return func() {
		if os.RemoveAll(folder) == nil { // else it is swept
			_ = idle.Stop(time.Minute)
		}
	}, nil
}
