package pgserver

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"example.com/shop/platform/devkit/child"
)

// installation runs the server from local binaries.
type installation struct {
	bin      string // the folder with initdb and postgres
	folder   *folder
	host     string
	encoding string
	durable  bool
	log      io.Writer
	out      io.Writer
}

// raiseLimit gives the server enough file descriptors for 300 sessions: macOS allows a shell 256 and takes one for every
// session's semaphore. It replaces itself by the server, so the pid stays.
const raiseLimit = `ulimit -S -n 4096 2>/dev/null; exec "$@"`

func (i *installation) start(port int) (*child.Process, error) {
	if err := i.initialise(); err != nil {
		return nil, fmt.Errorf("initdb: %w", err)
	}
	args := append([]string{
		"-c", raiseLimit, "sh", filepath.Join(i.bin, "postgres"), "-D", i.folder.data(),
		"-c", "listen_addresses=" + i.host, "-c", "port=" + strconv.Itoa(port),
		"-c", "unix_socket_directories=", // their paths are limited to about 100 bytes, and nobody needs them
	}, settings(i.durable)...)
	o := i.options("postgres", "/bin/sh", args)
	o.Files = []*os.File{i.folder.lock}
	return child.Start(o)
}

func (i *installation) signal(p *child.Process, sig syscall.Signal) error { return p.Signal(sig) }

func (i *installation) remove() error { return nil } // the folder was everything

// initialise makes the cluster once. It works beside the final place, so that what is there is complete.
func (i *installation) initialise() error {
	if _, err := os.Stat(filepath.Join(i.folder.data(), "PG_VERSION")); err == nil {
		return nil
	}
	defer announce(i.out, "creating a PostgreSQL cluster in "+i.folder.path)()
	fresh := i.folder.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	args := []string{
		"-D", fresh, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", filepath.Join(i.folder.path, "password"),
		"-E", cmp.Or(i.encoding, "UTF8"), "--locale", "C", // the same order of text on every machine
	}
	if !i.durable {
		args = append(args, "--no-sync")
	}
	var said bytes.Buffer
	o := i.options("initdb", filepath.Join(i.bin, "initdb"), args)
	o.Out = &said
	p, err := child.Start(o)
	if err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%w\n%s", err, &said)
	}
	return os.Rename(fresh, i.folder.data())
}

func (i *installation) options(name, path string, args []string) child.Options {
	o := child.Options{
		Name: name, Path: path, Args: args, Dir: i.folder.path, Credential: i.folder.account.credentials(),
		Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, // no PG* variable of ours is meant for it
		Out: i.log, StopSignal: syscall.SIGINT,
	}
	if i.folder.temporary {
		o.StopSignal = syscall.SIGQUIT // nobody will read that data
		o.Cleanup = []string{"rm", "-rf", i.folder.path}
	}
	return o
}

// binaryFolders lists where the server's binaries may be, the likeliest first. Debian keeps them out of PATH.
func binaryFolders() []string {
	var found []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		found = append(found, strings.TrimSpace(string(out)))
	}
	if postgres, err := exec.LookPath("postgres"); err == nil {
		if target, err := filepath.EvalSymlinks(postgres); err == nil { // initdb is beside the real file
			found = append(found, filepath.Dir(target))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		match, _ := filepath.Glob(pattern) // the pattern is well formed
		slices.SortFunc(match, func(a, b string) int { return number(b) - number(a) })
		found = append(found, match...)
	}
	return found
}

var digits = regexp.MustCompile(`\d+`)

// number is the first one in the text, so that 17 comes before 9.
func number(text string) int {
	n, _ := strconv.Atoi(digits.FindString(text))
	return n
}

// majorVersion is "" for a folder without a complete server: client packages have a pg_config, too.
func majorVersion(bin string) string {
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return ""
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return ""
	}
	return digits.FindString(string(out))
}
