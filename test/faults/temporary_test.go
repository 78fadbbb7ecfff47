package faults

import (
	"errors"
	"os"
	"time"

	"example.com/shop/platform/devkit/child"
)

// sweep removes a folder again and again, for whoever still runs may write: a frozen process is given ten seconds until it is killed, and a
// test in a network of its own as many for each of its own processes. The small disk can be unmounted only then, too.
const sweep = `for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do
	umount "$1"/seam-*/postgres
	rm -rf "$1"
	sleep 1
done`

// inOneFolder has this process and all that it starts make their temporary files in one folder. It goes with remove, and as well when this
// process is interrupted, killed or out of time, and can do nothing about it: then the guards end what it started, and one of them sweeps.
func inOneFolder() (remove func(), err error) {
	folder, err := os.MkdirTemp("", "shop-faults-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(folder, 0o755), os.Setenv("TMPDIR", folder)); err != nil { // PostgreSQL's own user has to enter it
		return nil, errors.Join(err, os.Remove(folder))
	}
	idle, err := child.Start(child.Options{ // whose guard is all that is wanted
		Name: "sweep", Path: "tail", Args: []string{"-f", "/dev/null"}, Cleanup: []string{"/bin/sh", "-c", sweep, "sh", folder},
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(folder))
	}
	return func() {
		if os.RemoveAll(folder) == nil { // else it is swept, too
			_ = idle.Stop(time.Minute)
		}
	}, nil
}
