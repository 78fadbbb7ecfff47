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

// folder is where a server keeps everything:
//
//	data/      PostgreSQL's own
//	password   of the superuser, made before the first start
//	lock       held by the server's processes; names the process that started them
type folder struct {
	path      string
	temporary bool
	account   *account // who owns it; nil is ourselves
	password  string
	lock      *os.File
}

// openFolder makes the folder if need be and takes its lock.
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

// make uses the wanted path unless the account cannot get there, as below root's home. Then the data goes to a folder
// that only root can make and that is the same at every start.
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

// existing is the nearest folder on the way to path that is there already.
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

// acquire locks the folder. Every process of the server inherits the lock, so that a free one proves that no process
// of a server that we started is left: more than a pid file can say. inUse judges the owner of a lock that is taken;
// nil means that its server is about to end, which is worth some seconds.
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
		owner, _ := strconv.Atoi(string(text)) // 0: it has only just been locked, and will say soon
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

// release leaves the lock to the server's processes, if there are any.
func (f *folder) release() {
	if f.lock != nil {
		f.lock.Close()
	}
}

// anyOwner refuses to wait for a living owner. A dead one's server is being ended by its guard.
func (f *folder) anyOwner(owner int) error {
	if owner != 0 && alive(owner) {
		return fmt.Errorf("process %d already runs PostgreSQL on %s: stop it first, or use another folder", owner, f.path)
	}
	return nil
}

// reacquire waits until no process of our own server is left: after a Kill some sessions live on for a moment.
func (f *folder) reacquire(ctx context.Context) error {
	f.release()
	return f.acquire(ctx, func(owner int) error {
		if owner == os.Getpid() {
			return nil
		}
		return f.anyOwner(owner)
	})
}

// remove waits likewise, because who still runs may still write. What is gone already is no error.
func (f *folder) remove(ctx context.Context) error {
	if err := f.reacquire(ctx); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remove %s: %w", f.path, err)
	}
	return os.RemoveAll(f.path)
}

// removeStalePID removes the pid file of a server that died while another program has got its pid since, which happens
// all the time in containers: PostgreSQL would believe that it still runs. In every other case PostgreSQL itself knows
// best, so a file whose process may be a server on this folder stays.
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
