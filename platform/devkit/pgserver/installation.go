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

// raiseLimit allows enough file descriptors for 400 sessions: macOS allows a shell 256 and takes
// one for each session's semaphore. It execs the server, so the pid stays.
const raiseLimit = `ulimit -S -n 4096 2>/dev/null; exec "$@"`

func (i *installation) start(port int) (*child.Process, error) {
	if err := i.initialise(); err != nil {
		return nil, fmt.Errorf("initdb: %w", err)
	}
	args := append([]string{
		"-c", raiseLimit, "sh", filepath.Join(i.bin, "postgres"), "-D", i.folder.data(),
		"-c", "listen_addresses=" + i.host, "-c", "port=" + strconv.Itoa(port),
		"-c", "unix_socket_directories=", // not needed, and their paths are limited to about 100 bytes
	}, settings(i.durable)...)
	if number(majorVersion(i.bin)) >= 18 { // until then they were as many as the slots
		args = append(args, "-c", "max_active_replication_origins=30")
	}
	o := i.options("postgres", "/bin/sh", args)
	o.Files = []*os.File{i.folder.lock}
	return child.Start(o)
}

func (i *installation) signal(p *child.Process, sig syscall.Signal) error { return p.Signal(sig) }

func (i *installation) remove() error { return nil } // there is nothing outside the folder

// initialise creates the cluster, in another folder that it renames when it is complete.
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
	var output bytes.Buffer
	o := i.options("initdb", filepath.Join(i.bin, "initdb"), args)
	o.Out = &output
	p, err := child.Start(o)
	if err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%w\n%s", err, &output)
	}
	return os.Rename(fresh, i.folder.data())
}

func (i *installation) options(name, path string, args []string) child.Options {
	o := child.Options{
		Name: name, Path: path, Args: args, Dir: i.folder.path, Credential: i.folder.account.credentials(),
		Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, // without this process's PG* variables
		Out: i.log, StopSignal: syscall.SIGINT,
	}
	if i.folder.temporary {
		o.StopSignal = syscall.SIGQUIT // its data is not needed any more
		o.Cleanup = []string{"rm", "-rf", i.folder.path}
	}
	return o
}

// binaryFolders returns where the binaries may be, the most likely first. Debian's are not in PATH.
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

// number returns the first number in the text, so that 17 sorts before 9.
func number(text string) int {
	n, _ := strconv.Atoi(digits.FindString(text))
	return n
}

// majorVersion returns "" unless the server is complete: client packages have a pg_config, too.
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
