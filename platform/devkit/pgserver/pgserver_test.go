package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgserver"
)

func start(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// folder returns a folder that the server's user can enter, too; t.TempDir is closed to others.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "seam-pgserver-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "postgres")
}

// query returns the one value of the one row as text.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func run(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestTemporaryServer(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{})
	for setting, want := range map[string]string{
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400",
		"listen_addresses": "127.0.0.1", "server_encoding": "UTF8", "TimeZone": "UTC",
	} {
		if got := query(t, s.URL(), "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	run(t, s.URL(), "CREATE ROLE stranger LOGIN")
	for _, database := range []string{"postgres", "template1"} {
		if query(t, s.URL(), "SELECT has_database_privilege('stranger', '"+database+"', 'CONNECT')::text") != "false" {
			t.Errorf("PUBLIC may connect to %s", database)
		}
	}
	wrong, _ := url.Parse(s.URL())
	wrong.User = url.UserPassword("postgres", "wrong")
	for name, address := range map[string]string{
		"password": wrong.String(), "service": s.URL() + "&service=nosuch",
		"database": strings.Replace(s.URL(), "/postgres?", "/nosuch?", 1),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := pgserver.Ping(ctx, address); err == nil || ctx.Err() != nil {
			t.Errorf("a wrong %s: %v; it waited until %v, which cannot help", name, err, ctx.Err())
		}
		cancel()
	}
	data := query(t, s.URL(), "SHOW data_directory")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(data)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", data, err)
	}
}

// Committed data survives every way in which a server can end, and the address stays.
func TestFaultsAndRestart(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{DataDir: folder(t), Durable: true})
	address := s.URL()
	run(t, address, "CREATE TABLE survivors (fault text)")
	for name, fault := range map[string]func() error{
		"stop":      func() error { return s.Stop(t.Context()) },
		"immediate": s.Immediate,
		"kill":      s.Kill,
		"none":      func() error { return nil },
	} {
		run(t, address, "INSERT INTO survivors VALUES ('"+name+"')")
		if err := fault(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatalf("restart after %s: %v", name, err)
		}
		if got := query(t, address, "SELECT fault FROM survivors WHERE fault = '"+name+"'"); got != name {
			t.Errorf("after %s: %q", name, got)
		}
	}
}

func TestOneServerPerFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, pgserver.Options{DataDir: dir})
	_, err := pgserver.Start(t.Context(), pgserver.Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(),
		fmt.Sprintf("process %d already runs PostgreSQL on %s", os.Getpid(), dir)) {
		t.Errorf("second start: %v", err)
	}
	if query(t, s.URL(), "SELECT 'alive'") != "alive" {
		t.Error("the first server does not run")
	}
}

// After a crash of the machine, or in a new container, another process may have the pid in the
// file: here this one.
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first, err := pgserver.Start(t.Context(), pgserver.Options{DataDir: dir, Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "data", "postmaster.pid")
	stale, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours := strings.Replace(string(stale), strconv.Itoa(first.PID()), strconv.Itoa(os.Getpid()), 1)
	if err := os.WriteFile(file, []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, pgserver.Options{DataDir: dir, Durable: true})
	if query(t, second.URL(), "SELECT 'alive'") != "alive" {
		t.Error("no answer")
	}
}

// A killed server's sessions write until they notice; the folder is removed all the same.
func TestTemporaryServerKilled(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{})
	data := filepath.Dir(query(t, s.URL(), "SHOW data_directory"))
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", data, err)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Options{})
	address, _ := url.Parse(s.URL())
	port, _ := strconv.Atoi(address.Port())
	_, err := pgserver.Start(t.Context(), pgserver.Options{Port: port})
	if err == nil || !strings.Contains(err.Error(), "could not bind") {
		t.Errorf("got %v", err)
	}
}

// killParent lets TestParent start a server and kills it with SIGKILL. The server's guard is left.
func killParent(t *testing.T, dataDir string) (postmaster int, folder string) {
	t.Helper()
	parent := exec.Command(os.Args[0], "-test.run=^TestParent$")
	parent.Env = append(os.Environ(), "PGSERVER_PARENT=1", "PGSERVER_DATA="+dataDir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &postmaster, &folder); err != nil || syscall.Kill(postmaster, 0) != nil {
		t.Fatalf("no server behind %q: %v", line, err)
	}
	parent.Process.Kill()
	parent.Wait()
	return postmaster, folder
}

func TestParent(t *testing.T) {
	if os.Getenv("PGSERVER_PARENT") == "" {
		t.Skip("killParent runs it")
	}
	s := start(t, pgserver.Options{DataDir: os.Getenv("PGSERVER_DATA")})
	fmt.Println(s.PID(), filepath.Dir(query(t, s.URL(), "SHOW data_directory")))
	<-s.Done()
}

func TestParentKilled(t *testing.T) {
	t.Parallel()
	postmaster, data := killParent(t, "")
	deadline := time.After(time.Minute)
	for again := time.NewTicker(20 * time.Millisecond); ; {
		_, err := os.Stat(data)
		if errors.Is(err, os.ErrNotExist) && errors.Is(syscall.Kill(postmaster, 0), syscall.ESRCH) {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("process %d or %s is still there", postmaster, data)
		}
	}
}

// The last server may still be shutting down when the next one starts, which is no reason to
// refuse.
func TestStartAfterParentKilled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	killParent(t, dir)
	s := start(t, pgserver.Options{DataDir: dir})
	if query(t, s.URL(), "SELECT 'alive'") != "alive" {
		t.Error("no answer")
	}
}
