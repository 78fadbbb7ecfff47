// Package pooler starts a PgBouncer in front of a PostgreSQL server, for tests. In its transaction
// mode each transaction may get another server connection, of which there are few.
package pooler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/devkit/pgserver"
)

// Size is the number of connections to the server for each user.
const Size = 3

// startTimeout leaves time for Docker.
const startTimeout = 30 * time.Second

// Pooler is a running PgBouncer.
type Pooler struct {
	process *child.Process
	folder  string
	host    string
}

// Program returns the installed PgBouncer, or "". Debian's is not in most users' PATH.
func Program() string {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// New starts a PgBouncer for the test: the installed one, or that in the image TEST_POOLER.
func New(t testing.TB, logins ...string) *Pooler {
	t.Helper()
	program := cmp.Or(os.Getenv("TEST_POOLER"), Program())
	if program == "" {
		t.Skip("PgBouncer is not installed; .ci/run installs it")
	}
	p, err := Start(t.Context(), program, logins...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Start starts the program, or the one in the image if program has a colon, in front of the server
// of the logins: URLs with a client's user and password. It returns when the first one connects.
func Start(ctx context.Context, program string, logins ...string) (_ *Pooler, err error) {
	port, err := freeport.Find(ctx)
	if err != nil {
		return nil, err
	}
	p := &Pooler{host: fmt.Sprintf("127.0.0.1:%d", port)}
	if p.folder, err = os.MkdirTemp("/tmp", "seam-pooler-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("start PgBouncer: %w", errors.Join(err, p.Stop()))
		}
	}()
	if err := p.configure(logins); err != nil {
		return nil, err
	}
	if err := p.run(program); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	go func() {
		select {
		case <-p.process.Done(): // waiting cannot help
			cancel()
		case <-ctx.Done():
		}
	}()
	return p, pgserver.Ping(ctx, p.Through(logins[0]))
}

// configure writes files that every user can read, because PgBouncer refuses to run as root.
func (p *Pooler) configure(logins []string) error {
	var server *url.URL
	var users strings.Builder
	for _, login := range logins {
		var err error
		if server, err = url.Parse(login); err != nil {
			return err
		}
		password, _ := server.User.Password()
		fmt.Fprintf(&users, "%q %q\n", server.User.Username(), password)
	}
	_, port, _ := net.SplitHostPort(p.host)
	settings := strings.Join([]string{
		"[databases]", "* = host=" + server.Hostname() + " port=" + server.Port(),
		"[pgbouncer]", "listen_addr = 127.0.0.1", "listen_port = " + port, "unix_socket_dir =",
		"auth_type = scram-sha-256", "auth_file = " + filepath.Join(p.folder, "users.txt"),
		"pool_mode = transaction", "default_pool_size = " + strconv.Itoa(Size), "max_client_conn = 1000", "",
	}, "\n")
	return errors.Join(
		os.Chmod(p.folder, 0o755), //nolint:gosec // PgBouncer's user has to enter it
		os.WriteFile(filepath.Join(p.folder, "users.txt"), []byte(users.String()), 0o644), //nolint:gosec // as above
		os.WriteFile(filepath.Join(p.folder, "pgbouncer.ini"), []byte(settings), 0o644))   //nolint:gosec // as above
}

func (p *Pooler) run(program string) (err error) {
	args := []string{filepath.Join(p.folder, "pgbouncer.ini")}
	if os.Geteuid() == 0 || strings.Contains(program, ":") {
		args = append([]string{"-u", "nobody"}, args...)
	}
	// At this signal no version waits for its clients.
	o := child.Options{Name: "pgbouncer", Path: program, Args: args, StopSignal: syscall.SIGQUIT}
	if strings.Contains(program, ":") {
		name := filepath.Base(p.folder)
		o.Path = "docker"
		o.Args = append([]string{"run", "--rm", "--name", name, "--network", "host",
			"--volume", p.folder + ":" + p.folder + ":ro", "--entrypoint", "pgbouncer", program}, args...)
		o.Cleanup = []string{"docker", "rm", "--force", name}
	}
	p.process, err = child.Start(o)
	return err
}

// Through returns a login with PgBouncer's address in place of the server's.
func (p *Pooler) Through(login string) string {
	u, err := url.Parse(login)
	if err != nil {
		return "" // configure has reported it
	}
	u.Host = p.host
	return u.String()
}

// Stop ends PgBouncer and the connections through it.
func (p *Pooler) Stop() error {
	var err error
	if p.process != nil {
		err = p.process.Stop(startTimeout)
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}
