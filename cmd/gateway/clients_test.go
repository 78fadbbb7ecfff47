package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// A body that hangs takes a place from nobody but its own client: it is not under way.
func TestABodyThatHangs(t *testing.T) {
	t.Parallel()
	f := start(t, split(100, 0), func(c *config) { c.MaxRequests, c.MaxBodies, c.Secret = 1, 3, "the secret" })
	for range 3 {
		conn, err := net.Dial("tcp", f.addr)
		must(t, err)
		defer conn.Close()
		fmt.Fprint(conn, "POST /v1/things HTTP/1.1\r\nHost: app\r\nIdempotency-Key: k\r\nContent-Length: 100\r\n\r\nhalf")
	}
	eventually(t, "the bodies hang", func() bool {
		took := f.bodies.Take(netip.MustParseAddr("127.0.0.1"))
		if took {
			f.bodies.Leave(netip.MustParseAddr("127.0.0.1"))
		}
		return !took
	})
	f.expect(t, get, "200 old 1+0")
	f.expect(t, post+"\n\n{}", "429 too-many-bodies 0+0")
	f.expect(t, post, "200 old 1+0") // it has none
	if got := f.askFrom(t, net.IPv4(127, 0, 0, 2), "POST /v1/things HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\n{}"); got != http.StatusOK {
		t.Errorf("another client: %d", got)
	}
}

// An address that sends too much is refused, and no other; a header makes it no other address.
func TestAnAddressThatSendsTooMuch(t *testing.T) {
	t.Parallel()
	f := start(t, split(100, 0), func(c *config) { c.AddressRate = 1 })
	const read = "GET /v1/things HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: 6.6.6.%d\r\n\r\n"
	refused := 0
	for i := range 20 {
		if f.askFrom(t, net.IPv4(127, 0, 0, 3), fmt.Sprintf(read, i)) == http.StatusTooManyRequests {
			refused++
		}
		if got := f.askFrom(t, net.IPv4(127, 0, 1, byte(i)), fmt.Sprintf(read, 0)); got != http.StatusOK {
			t.Errorf("another address: %d", got)
		}
	}
	if refused == 0 {
		t.Error("20 requests at once, where one a second is allowed, are not too many")
	}
	for range 3 {
		f.askFrom(t, net.IPv4(127, 0, 0, 1), fmt.Sprintf(read, 0))
	}
	if answer := f.ask(t, get); answer.String() != "429 too-many-requests" {
		t.Errorf("the refusal is %s", answer)
	}
}

// askFrom sends bytes from an address, and returns the status of the answer.
func (f *facade) askFrom(t *testing.T, from net.IP, request string) (status int) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.DialContext(t.Context(), "tcp", f.addr)
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(25 * time.Second))
	fmt.Fprint(conn, request)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	answer.Body.Close()
	return answer.StatusCode
}
