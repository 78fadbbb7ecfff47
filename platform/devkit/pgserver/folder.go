package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// folder is a server's folder:
//
//	data/      PostgreSQL's own
//	password   of the superuser, made before the first start
//	lock       held by the server's processes; contains the pid of the process that started them
type folder struct {
	path      string
	temporary bool
	account   *account // its owner; nil for this process's own
	password  string
	lock      *os.File
}

// openFolder creates the folder if necessary and takes its lock.
func openFolder(ctx context.Context, path string, out io.Writer) (*folder, error) {
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, temporary: path == "", account: account}
	if f.temporary {
		err = f.makeTemporary()
	} else {
		err = f.make(out)
	}
	if err != nil {
		return nil, err
	}
	if err := f.acquire(ctx, f.anyOwner); err != nil {
		return nil, err
	}
	if f.password, err = f.loadPassword(); err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

func (f *folder) data() string { return filepath.Join(f.path, "data") }

func (f *folder) makeTemporary() (err error) {
	if f.path, err = os.MkdirTemp("", "seam-postgres-"); err != nil {
		return err
	}
	if err := f.account.own(f.path); err != nil {
		return err
	}
	if f.account.reaches(f.path) { // TMPDIR may be below root's home
		return nil
	}
	os.Remove(f.path)
	if f.path, err = os.MkdirTemp("/tmp", "seam-postgres-"); err != nil {
		return err
	}
	return f.account.own(f.path)
}

// make creates the folder at its path, or, if the account cannot enter that, as below root's home,
// at a path under /var/lib/seam that is the same at every start.
func (f *folder) make(out io.Writer) error {
	wanted, err := filepath.Abs(f.path)
	if err != nil {
		return err
	}
	f.path = wanted
	if !f.account.reaches(existing(filepath.Dir(wanted))) {
		f.path = fmt.Sprintf("/var/lib/seam/%x", sha256.Sum256([]byte(wanted)))[:30]
		if out != nil {
			fmt.Fprintf(out, "PostgreSQL cannot run as root, and its user %s cannot enter %s: the data is in %s\n",
				f.account.name, filepath.Dir(wanted), f.path)
		}
	}
	if err := os.MkdirAll(f.path, 0o755); err != nil {
		return err
	}
	return errors.Join(f.account.own(f.path), os.Chmod(f.path, 0o700))
}

// existing returns the nearest existing folder of a path.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func (f *folder) loadPassword() (string, error) {
	file := filepath.Join(f.path, "password")
	if text, err := os.ReadFile(file); err == nil || !errors.Is(err, os.ErrNotExist) {
		return strings.TrimSpace(string(text)), err
	}
	password := rand.Text()
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return "", err
	}
	return password, f.account.own(file) // initdb reads it
}

// acquire locks the folder. Every process of the server inherits the lock, so a free lock proves
// that none is left, which a pid file cannot. inUse judges the owner of a taken lock: nil means
// that its server is about to end, so acquire waits some seconds.
func (f *folder) acquire(ctx context.Context, inUse func(owner int) error) error {
	lock, err := os.OpenFile(filepath.Join(f.path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	patience, cancel := context.WithTimeoutCause(ctx, 15*time.Second, fmt.Errorf("a server still runs on %s", f.path))
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		text, _ := os.ReadFile(lock.Name())
		owner, _ := strconv.Atoi(string(text)) // 0: the owner has not yet written its pid
		if err := inUse(owner); err != nil {
			lock.Close()
			return err
		}
		select {
		case <-patience.Done():
			lock.Close()
			return context.Cause(patience)
		case <-again.C:
		}
	}
	f.lock = lock
	if err := errors.Join(lock.Truncate(0), second(lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0))); err != nil {
		return err
	}
	f.removeStalePID()
	return nil
}

func second(_ int, err error) error { return err }

// release closes the lock, which the server's processes keep, if there are any.
func (f *folder) release() {
	if f.lock != nil {
		f.lock.Close()
	}
}

// anyOwner returns an error for a running owner. The server of another is being ended by its guard.
func (f *folder) anyOwner(owner int) error {
	if owner != 0 && alive(owner) {
		return fmt.Errorf("process %d already runs PostgreSQL on %s: stop it, or use another folder", owner, f.path)
	}
	return nil
}

// reacquire waits until our own server's processes have ended: after a Kill that takes a moment.
func (f *folder) reacquire(ctx context.Context) error {
	f.release()
	return f.acquire(ctx, func(owner int) error {
		if owner == os.Getpid() {
			return nil
		}
		return f.anyOwner(owner)
	})
}

// remove waits as reacquire does, because a running process may write, and removes the folder.
func (f *folder) remove(ctx context.Context) error {
	if err := f.reacquire(ctx); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remove %s: %w", f.path, err)
	}
	return os.RemoveAll(f.path)
}

// removeStalePID removes the pid file of a dead server if another program has its pid now, as often
// happens in containers: PostgreSQL would take that for a running server. If the process may be a
// server on this folder, it leaves the file to PostgreSQL.
func (f *folder) removeStalePID() {
	file := filepath.Join(f.data(), "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	command, err := exec.Command("ps", "-ww", "-o", "args=", "-p", pid).Output()
	if err == nil && !bytes.Contains(command, []byte(f.data())) {
		os.Remove(file)
	}
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
