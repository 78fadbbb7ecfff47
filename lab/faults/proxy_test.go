package faults

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/shop/tools/topology"
)

// proxy simulates a bad network between processes and what they depend on. Unlike a firewall it
// needs no root, and affects only the processes that connect through it. TCP keepalives do not
// notice its silence, because the kernel answers them.
type proxy struct {
	listener net.Listener
	target   string
	changes  []func(passing []byte) []byte // of what passes

	mu     sync.Mutex
	pace   *sync.Cond // for changes of silent
	silent bool
	delay  time.Duration // in each direction
	conns  []net.Conn
}

func startProxy(t *testing.T, target string, changes ...func(passing []byte) []byte) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, changes: changes}
	p.pace = sync.NewCond(&p.mu)
	go p.accept()
	t.Cleanup(func() {
		listener.Close()
		p.set(false, 0)
		p.cut()
	})
	return p
}

// set changes the network for open and new connections.
func (p *proxy) set(silent bool, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent, p.delay = silent, delay
	p.pace.Broadcast()
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil { // the target is down
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		go p.carry(in, out)
		go p.carry(out, in)
	}
}

// carry copies data in order, with the delay.
func (p *proxy) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.wait()
		if n > 0 {
			passing := buffer[:n]
			for _, change := range p.changes {
				passing = change(passing)
			}
			if _, err := to.Write(passing); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) wait() {
	p.mu.Lock()
	for p.silent {
		p.pace.Wait()
	}
	delay := p.delay
	p.mu.Unlock()
	time.Sleep(delay)
}

// instead returns the address with the proxy's host.
func (p *proxy) instead(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// hostOf returns the address's host and port.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// behindDatabaseProxy restarts the processes behind a proxy of PostgreSQL, until undo is called.
func (s *shop) behindDatabaseProxy(t *testing.T, processes ...*topology.Process) (p *proxy, undo func()) {
	t.Helper()
	p = startProxy(t, hostOf(t, s.AdminURL))
	var env []string
	for _, m := range topology.Modules {
		env = append(env, strings.ToUpper(m)+"_DATABASE_URL="+p.instead(t, s.Plan.RuntimeURL(s.AdminURL, m)))
	}
	return p, s.set(t, env, processes...)
}

// set restarts the processes with more settings, until undo is called.
func (s *shop) set(t *testing.T, env []string, processes ...*topology.Process) (undo func()) {
	t.Helper()
	before := map[*topology.Process][]string{}
	for _, p := range processes {
		before[p] = p.Env
		p.Env = append(append([]string{}, p.Env...), env...)
		s.restart(t, p, p.Stop)
	}
	return func() {
		t.Helper()
		for _, p := range processes {
			p.Env = before[p]
			s.restart(t, p, p.Stop)
		}
	}
}
