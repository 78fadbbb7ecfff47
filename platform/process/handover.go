package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Handover passes the socket that a process listens on to the one that takes its place, as when a
// façade goes before a running process. Both accept from it until the first one gets the signal to
// stop, so that no connection is refused meanwhile, or is accepted by one that does not answer any
// more.
type Handover struct {
	// The path of a UNIX socket. A process that starts gets there the listening socket of the one that
	// has the same address already, and hands it over in its turn. Empty for none. A process that may
	// write to its folder may listen there first, so that should be the system's own.
	Path string `env:"LISTEN_HANDOVER"`

	optional bool // a process at another address hands nothing over, instead of being an error
}

// Beside returns how another socket of the same process is handed over: at a path of its own.
func (h Handover) Beside(name string) Handover {
	if h.Path != "" {
		h.Path, h.optional = h.Path+"."+name, true
	}
	return h
}

const (
	// longestPath leaves room for the temporary name: macOS allows 103 bytes, and Linux 107.
	longestPath = 90
	// A process that begins or ends to listen at this moment has the address, and does not hand it
	// over.
	handoverTries, handoverPause = 20, 50 * time.Millisecond
)

// Validate refuses a path that is too long for a UNIX socket.
func (h Handover) Validate() error {
	if len(h.Path) > longestPath {
		return fmt.Errorf("LISTEN_HANDOVER has %d bytes, and may have %d: name a shorter path", len(h.Path), longestPath)
	}
	return nil
}

// Listen returns the socket that another process hands over, or else binds the address of the
// setting, as Listen does. Until the listener is closed, it is handed over on request.
func (h Handover) Listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	if h.Path == "" {
		return Listen(ctx, setting, addr)
	}
	for try := 1; ; try++ {
		listener, held, err := h.ask(ctx, setting, addr)
		if listener == nil && err == nil {
			listener, err = Listen(ctx, setting, addr)
		}
		if err == nil {
			return h.offer(listener, held)
		}
		if !errors.Is(err, syscall.EADDRINUSE) || try == handoverTries {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(handoverPause):
		}
	}
}

// ask returns the socket of the process that listens at the path, or nil if there is none, or if it
// ends while it is asked. The connection to it is held as long as the socket, as a sign of life.
func (h Handover) ask(ctx context.Context, setting, addr string) (_ net.Listener, held net.Conn, err error) {
	peer, err := new(net.Dialer).DialContext(ctx, "unix", h.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil, nil // or its file is all that is left of it
	}
	if err != nil {
		return nil, nil, Usage(fmt.Errorf("LISTEN_HANDOVER is for processes of one user: %w", err))
	}
	defer func() {
		if held == nil {
			_ = peer.Close()
		}
	}()
	_ = peer.SetDeadline(time.Now().Add(patience))
	rights := make([]byte, syscall.CmsgSpace(4)) // one descriptor
	_, n, _, _, err := peer.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), rights)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil, Usage(fmt.Errorf("the process that listens at LISTEN_HANDOVER, %s, does not answer: end it, or name another path", h.Path))
	}
	messages, _ := syscall.ParseSocketControlMessage(rights[:n])
	if len(messages) == 0 {
		return nil, nil, nil
	}
	descriptors, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) == 0 {
		return nil, nil, nil
	}
	file := os.NewFile(uintptr(descriptors[0]), h.Path)
	defer file.Close()
	listener, err := net.FileListener(file) // a duplicate
	if err != nil {
		return nil, nil, fmt.Errorf("take over the socket of %s: %w", setting, err)
	}
	if !listensAt(listener, addr) {
		_ = listener.Close()
		if h.optional {
			return nil, nil, nil
		}
		return nil, nil, Usage(fmt.Errorf("LISTEN_HANDOVER, %s, leads to a process at %s, and %s is %s: name another path, or the same address",
			h.Path, listener.Addr(), setting, addr))
	}
	_, _ = peer.Write([]byte{0}) // it is taken; if the other one has ended meanwhile, so it is
	return listener, peer, nil
}

// listensAt reports whether Listen would have bound the same address.
func listensAt(listener net.Listener, addr string) bool {
	want, err := net.ResolveTCPAddr("tcp", addr)
	have, isTCP := listener.Addr().(*net.TCPAddr)
	everywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	return err == nil && isTCP && want.Port == have.Port &&
		(want.IP.Equal(have.IP) || everywhere(want.IP) && everywhere(have.IP))
}

// offer hands the listener over to each process that asks at the path from now on.
func (h Handover) offer(listener net.Listener, held net.Conn) (net.Listener, error) {
	o := &offered{Listener: listener, at: h, held: held}
	o.closed, o.end = context.WithCancel(context.Background())
	if err := o.open(); err != nil {
		_ = listener.Close()
		return nil, Usage(fmt.Errorf("LISTEN_HANDOVER: %w", err))
	}
	return o, nil
}

// open listens at the path, in the place of the process that did so before. Nobody else may connect
// at any moment, and none of the system's processes may find the path without a socket.
func (h Handover) open() (*net.UnixListener, error) {
	if info, err := os.Lstat(h.Path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is something else than a socket: name another path", h.Path)
	}
	private, err := os.MkdirTemp(filepath.Dir(h.Path), ".")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	name := filepath.Join(private, "s")
	door, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	door.SetUnlinkOnClose(false) // the path may be another process's by then
	if err := errors.Join(os.Chmod(name, 0o600), os.Rename(name, h.Path)); err != nil {
		_ = door.Close()
		return nil, err
	}
	return door, nil
}

// offered is a listener that is handed over until it is closed.
type offered struct {
	net.Listener
	at     Handover
	held   net.Conn        // to the process that it was taken from, nil if from none
	takers atomic.Int32    // processes that have taken it, and live
	closed context.Context //nolint:containedctx // it ends when the listener is closed
	end    context.CancelFunc

	mu   sync.Mutex
	door *net.UnixListener
	shut bool // nothing is handed over any more
}

// open hands the listener over at the path, unless it is closed.
func (o *offered) open() error {
	door, err := o.at.open()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return door.Close()
	}
	if o.door != nil { // in whose place it is
		_ = o.door.Close()
	}
	o.door = door
	go o.handOver(door)
	return nil
}

func (o *offered) closeDoor() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = true
	_ = o.door.Close()
}

func (o *offered) handOver(door *net.UnixListener) {
	for {
		peer, err := door.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors are left, perhaps
			time.Sleep(handoverPause)
		default:
			go o.give(peer)
		}
	}
}

// give sends the socket to a peer, unless it is closed already.
func (o *offered) give(peer *net.UnixConn) {
	defer peer.Close() //nolint:errcheck // nothing is left to send
	_ = peer.SetDeadline(time.Now().Add(patience))
	socket, err := o.Listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	_ = socket.Control(func(descriptor uintptr) {
		_, _, err = peer.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(descriptor)), nil)
	})
	if _, refused := peer.Read(make([]byte, 1)); err != nil || refused != nil {
		return
	}
	o.takers.Add(1)
	defer context.AfterFunc(o.closed, func() { _ = peer.Close() })()
	_ = peer.SetDeadline(time.Time{})
	_, _ = peer.Read(make([]byte, 1)) // returns when the other process has ended
	o.takers.Add(-1)
	if next, err := new(net.Dialer).DialContext(context.Background(), "unix", o.at.Path); err == nil {
		_ = next.Close() // a third process has its place
		return
	}
	_ = o.open() // or the next process finds the address in use
}

// Accept does not return because another process accepts in the place of this one.
func (o *offered) Accept() (net.Conn, error) {
	conn, err := o.Listener.Accept()
	if errors.Is(err, net.ErrClosed) {
		<-o.closed.Done()
	}
	return conn, err
}

// yield leaves new connections to the process that has taken the socket, if there is one. A server
// that stops does not answer those that it has just accepted, so it stops accepting long before.
func (o *offered) yield() {
	if o.takers.Load() > 0 {
		o.closeDoor() // first: what asks later binds the address itself
		_ = o.Listener.Close()
	}
}

func (o *offered) Close() error {
	defer o.end()
	o.closeDoor()
	if o.held != nil {
		_ = o.held.Close()
	}
	if err := o.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
