// Package pgserver starts a PostgreSQL server for development and tests. It needs neither Docker
// nor root, listens on loopback by default, and ends with its parent, even if that is killed.
package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/freeport"
)

// Options of a server; the zero value is a fast, temporary one for tests.
type Options struct {
	DataDir  string    // "" is a temporary folder, removed by Stop
	Encoding string    // of a cluster of a local installation; UTF8 if empty, and in Docker
	Durable  bool      // commits survive Kill and a power cut; without it, neither (fsync and the like are off)
	Host     string    // to listen on; 127.0.0.1 if empty. It must include that, as 0.0.0.0 does: URL uses it
	Port     int       // 0 is any free one
	Docker   bool      // in Docker, even if something else is available
	Image    string    // in Docker; postgres:17-alpine if empty
	Out      io.Writer // gets a line for each step of more than two seconds; may be nil
	Log      io.Writer // the server's own log, prefixed; may be nil
}

// startTimeout leaves time for a crash recovery.
const startTimeout = time.Minute

// endTimeout is how long to wait for a server that cannot start to end.
const endTimeout = 5 * time.Second

// An engine runs the server: from an installation's binaries or in a container.
type engine interface {
	start(port int) (*child.Process, error)            // on that port of 127.0.0.1
	signal(p *child.Process, sig syscall.Signal) error // to the postmaster; no error if it has ended
	remove() error                                     // what a temporary server leaves outside its folder
}

// Server is one PostgreSQL cluster with the superuser postgres.
type Server struct {
	engine engine
	folder *folder
	log    *tail
	out    io.Writer
	port   int

	mu   sync.Mutex // guards proc, which Restart replaces
	proc *child.Process
}

// Start finds a PostgreSQL, starts it and returns when it accepts logins. It calls IgnoreShell.
func Start(ctx context.Context, o Options) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	IgnoreShell()
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	f, err := openFolder(ctx, o.DataDir, o.Out)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	s := &Server{folder: f, out: o.Out, log: &tail{to: o.Log}}
	if s.engine, err = findEngine(ctx, o, f, s.log); err == nil {
		err = s.startOn(ctx, o.Port)
	}
	if err == nil {
		err = s.lockDown(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

// URL returns the superuser's connection string for the database postgres.
func (s *Server) URL() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", s.folder.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PID returns the postmaster's process id; in Docker that of the attached client.
func (s *Server) PID() int { return s.process().PID() }

// Done is closed when the server has ended, for whatever reason. A Restart makes another channel.
func (s *Server) Done() <-chan struct{} { return s.process().Done() }

// Err waits for the end and returns its cause.
func (s *Server) Err() error { return s.process().Err() }

// Stop shuts the server down fast, with sessions closed, commits kept and temporary data removed.
// When the context ends, it kills the server. It may be called again, and after Immediate or Kill.
func (s *Server) Stop(ctx context.Context) error {
	defer s.folder.release()
	err := s.end(ctx, syscall.SIGINT)
	if !s.folder.temporary {
		return err
	}
	if s.engine != nil {
		err = errors.Join(err, s.engine.remove())
	}
	return errors.Join(err, s.folder.remove(context.WithoutCancel(ctx)))
}

// Immediate stops the server without a checkpoint, so the next start recovers as after a crash.
func (s *Server) Immediate() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.end(ctx, syscall.SIGQUIT)
}

// Kill ends the postmaster by SIGKILL; its sessions notice it and end.
func (s *Server) Kill() error {
	p := s.process()
	if err := s.engine.signal(p, syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	return nil
}

// Restart starts the server again, with the same port and data. It stops a running one first.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.end(ctx, syscall.SIGINT); err != nil {
		return err
	}
	if err := s.folder.reacquire(ctx); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return s.run(ctx)
}

func (s *Server) process() *child.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// end stops the process, if there is one that still runs.
func (s *Server) end(ctx context.Context, sig syscall.Signal) error {
	p := s.process()
	if p == nil {
		return nil
	}
	select {
	case <-p.Done():
		return nil
	default:
	}
	if err := s.engine.signal(p, sig); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("PostgreSQL did not stop and is killed: %w", ctx.Err()), s.Kill())
	}
}

// startOn starts the server on the port. A free port may be taken before its use, so it retries.
func (s *Server) startOn(ctx context.Context, port int) error {
	if s.port = port; port != 0 {
		return s.run(ctx)
	}
	const tries = 5
	for try := 1; ; try++ {
		var err error
		if s.port, err = s.choosePort(ctx); err != nil {
			return err
		}
		if err = s.run(ctx); err == nil || try == tries || !s.log.portTaken() {
			return err
		}
	}
}

// choosePort returns the port of the run before, which others may have noted, if it is free, and
// else another one.
func (s *Server) choosePort(ctx context.Context) (port int, err error) {
	kept := filepath.Join(s.folder.path, "port")
	text, _ := os.ReadFile(kept) //nolint:gosec // our own; there may be none
	if l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", string(text))); err == nil && len(text) > 0 {
		_ = l.Close()
		return strconv.Atoi(string(text))
	} else if err == nil {
		_ = l.Close()
	}
	if port, err = freeport.Find(ctx); err == nil {
		err = os.WriteFile(kept, []byte(strconv.Itoa(port)), 0o600)
	}
	return port, err
}

func (s *Server) run(ctx context.Context) error {
	p, err := s.engine.start(s.port)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	return s.await(ctx, p)
}

// await returns when the server answers, or with the last lines of its log.
func (s *Server) await(ctx context.Context, p *child.Process) error {
	defer announce(s.out, "waiting for PostgreSQL to start")()
	late := errors.New("it did not answer within " + startTimeout.String())
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, late)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- Ping(ctx, s.URL()) }()
	var err error
	select {
	case err = <-answered:
		if err == nil {
			return nil
		}
		select { // another server may have answered, and ours be about to fail on the port
		case <-p.Done():
			err = errors.Join(err, p.Err())
		case <-time.After(endTimeout):
		}
	case <-p.Done():
		err = cmp.Or(p.Err(), errors.New("it ended at once"))
	}
	return fmt.Errorf("start PostgreSQL: %w\n%s", errors.Join(err, context.Cause(ctx)), s.log)
}

// Ping returns nil when the server behind the URL accepts a login, else the last error: when the
// context ends, or at once if waiting cannot help.
func Ping(ctx context.Context, url string) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		conn, err := pgx.Connect(try, url)
		cancel()
		if err == nil {
			return conn.Close(ctx)
		}
		if !mayPass(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

// mayPass reports whether a server that is starting may return the error. An answer other than not
// ready, out of resources or (from a pooler) server unreachable is final, as is a bad address.
func mayPass(err error) bool {
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return false
	}
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || slices.Contains([]string{"08", "53", "57"}, answer.Code[:min(2, len(answer.Code))])
}

// lockDown revokes CONNECT and TEMP from PUBLIC in the databases of initdb, too, so that a module's
// role can use its own database only. No other application uses the cluster.
func (s *Server) lockDown(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC"); err != nil {
		return fmt.Errorf("lock down the cluster: %w", err)
	}
	return nil
}
