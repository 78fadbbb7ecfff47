// Package wire is a proxy before a server, with which a test can delay, change, freeze or cut what
// passes. Unlike a firewall it needs no root. TCP keepalives do not notice that it is frozen,
// because the kernel answers them.
package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Wire forwards connections to a server.
type Wire struct {
	Change func(passing []byte) []byte // of what passes; nil for none. Set it before clients connect.

	listener net.Listener
	server   string
	dials    atomic.Int64
	delay    atomic.Int64 // in each direction
	pass     sync.RWMutex // held for writing while the server is frozen

	mu    sync.Mutex
	gone  bool
	conns []net.Conn
}

// To returns a wire to the server's host and port, which ends with the test. The server, which may be
// in a container, can reach it, too.
func To(t testing.TB, server string) *Wire {
	t.Helper()
	toward, err := net.Dial("udp", server) //nolint:noctx // it sends nothing, and tells our side's address
	if err != nil {
		t.Fatal(err)
	}
	toward.Close()
	host, _, _ := net.SplitHostPort(toward.LocalAddr().String())
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0")) //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	return On(t, listener, server)
}

// On is To for clients of the listener.
func On(t testing.TB, listener net.Listener, server string) *Wire {
	w := &Wire{listener: listener, server: server}
	t.Cleanup(func() { listener.Close(); w.Cut() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			w.dials.Add(1)
			if w.keep(client) {
				go w.lead(client)
			}
		}
	}()
	return w
}

// Address returns the host and port for clients.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Server returns the host and port that the wire leads to.
func (w *Wire) Server() string { return w.server }

// Dials returns how many connections there were.
func (w *Wire) Dials() int64 { return w.dials.Load() }

// Delay delays what passes from now on, in each direction.
func (w *Wire) Delay(d time.Duration) { w.delay.Store(int64(d)) }

// Freeze stops all forwarding, so that the server accepts requests and never answers, until thaw.
func (w *Wire) Freeze() (thaw func()) {
	w.pass.Lock()
	return sync.OnceFunc(w.pass.Unlock)
}

// Cut closes every connection, and each later one at once, until Restore.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, c := range w.conns {
		c.Close()
	}
}

// Restore lets connections through again.
func (w *Wire) Restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone, w.conns = false, nil
}

// keep registers the connection, or closes it after Cut.
func (w *Wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		c.Close()
		return false
	}
	w.conns = append(w.conns, c)
	return true
}

func (w *Wire) lead(client net.Conn) {
	w.pass.RLock()
	server, err := net.Dial("tcp", w.server) //nolint:noctx // as above
	w.pass.RUnlock()
	if err != nil || !w.keep(server) {
		client.Close()
		return
	}
	go w.copy(server, client)
	w.copy(client, server)
}

func (w *Wire) copy(to, from net.Conn) {
	defer to.Close()
	_, _ = io.Copy(passing{w, to}, from)
}

// passing delays writes, and blocks them while the server is frozen.
type passing struct {
	*Wire
	to net.Conn
}

func (p passing) Write(data []byte) (int, error) {
	time.Sleep(time.Duration(p.delay.Load()))
	p.pass.RLock()
	defer p.pass.RUnlock()
	if p.Change == nil {
		return p.to.Write(data)
	}
	_, err := p.to.Write(p.Change(data))
	return len(data), err
}
