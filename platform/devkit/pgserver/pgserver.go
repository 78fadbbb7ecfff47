// Package pgserver starts a PostgreSQL of our own for development and tests. It needs no Docker and no root, listens on
// loopback only, and leaves no process behind: not even after a SIGKILL of the process that started it.
package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
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
	DataDir  string    // "" is a temporary folder, removed with the server
	Encoding string    // of the cluster that an installation makes; UTF8 when empty, and in Docker
	Durable  bool      // acknowledged commits survive Kill and a power cut; without it not even Kill (fsync and its kin are off)
	Host     string    // where to listen, 127.0.0.1 when empty; URL stays on that, so another one is 0.0.0.0
	Port     int       // 0 is any free one
	Image    string    // for the Docker fallback; DefaultImage when empty
	Out      io.Writer // says in a line what takes longer than two seconds; may be nil
	Log      io.Writer // the server's own log, prefixed; may be nil
}

// DefaultImage is what runs where Docker is the only PostgreSQL around.
const DefaultImage = "postgres:17-alpine"

// startTimeout leaves room for a crash recovery.
const startTimeout = time.Minute

// endTimeout is how long a server takes at most to find that it cannot start.
const endTimeout = 5 * time.Second

// An engine is the way the server runs: from an installation's binaries or in a container.
type engine interface {
	start(port int) (*child.Process, error)            // on that port of 127.0.0.1
	signal(p *child.Process, sig syscall.Signal) error // to the postmaster itself; none if it has ended
	remove() error                                     // of what a temporary server leaves outside its folder
}

type finder func(ctx context.Context, o Options, f *folder, log io.Writer) (engine, error)

// Server is one PostgreSQL cluster with the superuser postgres.
type Server struct {
	engine engine
	folder *folder
	log    *tail
	out    io.Writer
	port   int

	mu   sync.Mutex // Restart exchanges the process
	proc *child.Process
}

// Start finds a PostgreSQL, starts it and returns when it answers queries. What the environment
// says about other servers is removed from it; see IgnoreShell.
func Start(ctx context.Context, o Options) (*Server, error) { return startWith(ctx, o, findEngine) }

func startWith(ctx context.Context, o Options, find finder) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	IgnoreShell()
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	f, err := openFolder(ctx, o.DataDir, o.Out)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	s := &Server{folder: f, out: o.Out, log: &tail{to: o.Log}}
	if s.engine, err = find(ctx, o, f, s.log); err == nil {
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

// URL is the superuser's connection to the database postgres.
func (s *Server) URL() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", s.folder.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PID is the postmaster's; in Docker it is that of the client that is attached to it.
func (s *Server) PID() int { return s.process().PID() }

// Done is closed when the server has ended, for whatever reason. After a Restart it is another channel.
func (s *Server) Done() <-chan struct{} { return s.process().Done() }

// Err waits for the end and says how it was.
func (s *Server) Err() error { return s.process().Err() }

// Stop ends the server fast: sessions are cut off, commits kept. A temporary server's data is removed. If the context
// ends first, the server is killed. It may be called again, and after Immediate or Kill.
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

// Immediate stops the server as a crash would, only in good order: the next start recovers.
func (s *Server) Immediate() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.end(ctx, syscall.SIGQUIT)
}

// Kill ends the postmaster by SIGKILL; its sessions notice and end by themselves.
func (s *Server) Kill() error {
	p := s.process()
	if err := s.engine.signal(p, syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	return nil
}

// Restart starts the server again, with the same data on the same port, however it ended. One that still runs is
// stopped first.
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

// end is done with a process that never was or is no more.
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

// startOn settles the port. Between finding a free one and using it somebody else may take it, so it tries a few.
func (s *Server) startOn(ctx context.Context, port int) error {
	if s.port = port; port != 0 {
		return s.run(ctx)
	}
	const tries = 5
	for try := 1; ; try++ {
		var err error
		if s.port, err = freeport.Find(ctx); err != nil {
			return err
		}
		if err = s.run(ctx); err == nil || try == tries || !s.log.portTaken() {
			return err
		}
	}
}

// run starts the process and waits for it.
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

// await returns when the server answers, or with its last words.
func (s *Server) await(ctx context.Context, p *child.Process) error {
	defer announce(s.out, "waiting for PostgreSQL to start")()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("it did not answer within "+startTimeout.String()))
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- Ping(ctx, s.URL()) }()
	var err error
	select {
	case err = <-answered:
		if err == nil {
			return nil
		}
		select { // another server may be what answered, and ours about to find its port taken
		case <-p.Done():
			err = errors.Join(err, p.Err())
		case <-time.After(endTimeout):
		}
	case <-p.Done():
		err = cmp.Or(p.Err(), errors.New("it ended at once"))
	}
	return fmt.Errorf("start PostgreSQL: %w\n%s", errors.Join(err, context.Cause(ctx)), s.log)
}

// Ping returns nil as soon as the server behind the URL accepts a login, else the last error: when
// the context ends, or at once when waiting cannot help.
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

// mayPass says whether a server that is starting may answer so. Another answer than that it is not
// ready, has no room or (a pooler) cannot reach its server is its last word, and an address that
// cannot be read stays so.
func mayPass(err error) bool {
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return false
	}
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || slices.Contains([]string{"08", "53", "57"}, answer.Code[:min(2, len(answer.Code))])
}

// lockDown takes CONNECT and TEMP from PUBLIC also in the databases that initdb made: a module's role has its own
// database and no other. It is our cluster, so nobody else can depend on it.
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
