package remote

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A client has a connection open and gets no other; another gets its own, and a proxy what it
// needs.
func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	var p Proxies
	if err := p.UnmarshalText([]byte("127.0.0.9")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = p.Connections(1)
	server.Start()
	t.Cleanup(server.Close)
	answered := func(from byte) (conn net.Conn, answers bool) {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		return conn, err == nil
	}
	first, _ := answered(1)
	for _, c := range []struct {
		from byte
		want bool
	}{{1, false}, {1, false}, {2, true}, {2, false}, {9, true}, {9, true}} {
		if _, got := answered(c.from); got != c.want {
			t.Errorf("another connection of 127.0.0.%d is answered: %v", c.from, got)
		}
	}
	_ = first.Close()
	for deadline, again := time.Now().Add(20*time.Second), false; !again; _, again = answered(1) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed is still counted")
		}
	}
}
