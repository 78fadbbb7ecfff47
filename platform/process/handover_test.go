package process

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// handover returns one with a path for the test.
func handover(t *testing.T) Handover {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "handover-") // a test's own folder may have too long a name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Handover{Path: filepath.Join(dir, "socket")}
}

func listen(t *testing.T, h Handover, addr string) net.Listener {
	t.Helper()
	listener, err := h.Listen(t.Context(), "HTTP_ADDR", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// answers fails unless a client reaches this listener.
func (h Handover) answers(t *testing.T, listener net.Listener) {
	t.Helper()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
}

// When the process that has taken the socket ends first, the one before goes on, and hands it over
// again.
func TestATakerEndsFirst(t *testing.T) {
	t.Parallel()
	h := handover(t)
	first := listen(t, h, "127.0.0.1:0").(*offered)
	door := first.door
	second := listen(t, h, first.Addr().String())
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	for first.takers.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	first.yield()
	h.answers(t, first)
	h.answers(t, listen(t, h, first.Addr().String()))
	if err := door.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("where nobody can ask any more it still listens: %v", err)
	}
}

// Operators' pages may be at another address, and are handed over only at the same one.
func TestAnotherAddressIsBoundIfItMayBe(t *testing.T) {
	t.Parallel()
	h := handover(t)
	listen(t, h, "127.0.0.1:0")
	h.optional = true
	h.answers(t, listen(t, h, "127.0.0.2:0"))
}

// The next process gets the socket, with the connections that nobody has accepted, and hands it
// over in its turn. It does not matter which of them ends first.
func TestTheSocketIsHandedOver(t *testing.T) {
	t.Parallel()
	h := handover(t)
	first := listen(t, h, "127.0.0.1:0")
	addr := first.Addr().String()
	h.answers(t, first)
	second := listen(t, h, addr)
	if info, err := os.Stat(h.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its path is %v, %v", info, err)
	}
	waiting, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if accepted, err := second.Accept(); err != nil {
		t.Error(err)
	} else if accepted.Close(); accepted.RemoteAddr().String() != waiting.LocalAddr().String() {
		t.Error("it accepted another connection than the one that waited")
	}
	third := listen(t, h, addr)
	second.Close()
	h.answers(t, third)
	// Its file is left, and nobody behind it.
	third.Close()
	h.answers(t, listen(t, h, addr))
	if left, err := os.ReadDir(filepath.Dir(h.Path)); err != nil || len(left) != 1 {
		t.Errorf("there is more than the socket: %v, %v", left, err)
	}
}

// An address is the same however it is written.
func TestAnAddressHasSeveralNames(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"127.0.0.1:0", "localhost:"}, {":0", "0.0.0.0:", "[::]:", ":"}} {
		h := handover(t)
		first := listen(t, h, names[0])
		_, port, err := net.SplitHostPort(first.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names[1:] {
			listen(t, h, name+port)
		}
	}
}

// Processes that ask at once all get the socket, whether one has it before or none.
func TestSeveralTakeOverAtOnce(t *testing.T) {
	t.Parallel()
	for _, had := range []bool{true, false} {
		h := handover(t)
		first := listen(t, h, "127.0.0.1:0")
		addr := first.Addr().String()
		if !had {
			first.Close()
		}
		var all sync.WaitGroup
		listeners := make([]net.Listener, 5)
		for i := range listeners {
			all.Go(func() {
				var err error
				if listeners[i], err = h.Listen(t.Context(), "HTTP_ADDR", addr); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		first.Close()
		for i, listener := range listeners {
			if listener == nil {
				continue
			}
			if i == len(listeners)-1 {
				h.answers(t, listener)
			}
			listener.Close()
		}
	}
}

// A process that ends while it is asked gives nothing, and its address is free soon.
func TestTheOtherEndsWhileItIsAsked(t *testing.T) {
	t.Parallel()
	h := handover(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door, err := net.Listen("unix", h.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	go func() {
		for _, with := range []string{"", "x"} { // not even a byte, and a byte without a socket
			if peer, err := door.Accept(); err == nil {
				_, _ = io.WriteString(peer, with)
				peer.Close()
			}
		}
		other.Close()
		door.Close()
	}()
	h.answers(t, listen(t, h, other.Addr().String()))
}

func TestHandoversThatAreRefused(t *testing.T) {
	t.Parallel()
	h := handover(t)
	addr := listen(t, h, "127.0.0.1:0").Addr().String()
	silent, file, used := handover(t), handover(t), handover(t)
	door, err := net.Listen("unix", silent.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { door.Close() }) // after the subtests
	if err := os.WriteFile(file.Path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		h          Handover
		addr, says string
	}{
		"another address":      {h, "127.0.0.1:1", "leads to a process at " + addr + ", and HTTP_ADDR is 127.0.0.1:1"},
		"another port":         {h, "127.0.0.1:0", "leads to a process at"},
		"another interface":    {h, strings.Replace(addr, "127.0.0.1", "", 1), "leads to a process at"},
		"it does not answer":   {silent, addr, "does not answer"},
		"no socket":            {file, "127.0.0.1:0", "is something else than a socket"},
		"no folder":            {Handover{Path: "/nowhere/socket"}, "127.0.0.1:0", "no such file"},
		"a process without it": {used, addr, addr + " is already in use: stop the other process or set HTTP_ADDR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := test.h.Listen(t.Context(), "HTTP_ADDR", test.addr)
			if err == nil {
				listener.Close()
			}
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(file.Path); err != nil || string(text) != "kept" {
			t.Errorf("the file is %q, %v", text, err)
		}
	})
	long := Handover{Path: "/" + strings.Repeat("x", longestPath)}
	if err := long.Validate(); err == nil {
		t.Error("a path of 91 bytes is accepted")
	}
	if err := (Handover{Path: long.Path[:longestPath]}).Validate(); err != nil {
		t.Error(err)
	}
}

// A socket of another user's is none.
func TestAnotherUsersSocket(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may connect to any")
	}
	h := handover(t)
	addr := listen(t, h, "127.0.0.1:0").Addr().String()
	if err := os.Chmod(h.Path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Listen(t.Context(), "HTTP_ADDR", addr); !errors.Is(err, ErrUsage) || !errors.Is(err, syscall.EACCES) {
		t.Errorf("got %v", err)
	}
}
