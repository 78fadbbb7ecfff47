package remote

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// Connections returns the ConnState of a server on which each client may have that many connections
// open. More are closed at once. The proxies may have any number, for all their clients.
func (p Proxies) Connections(most int) func(net.Conn, http.ConnState) {
	open, refused := Slots{Most: most}, sync.Map{}
	return func(conn net.Conn, state http.ConnState) {
		at, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		client := at.Addr().Unmap().WithZone("")
		switch {
		case p.trusts(client):
		case state == http.StateNew && !open.Take(client):
			refused.Store(conn, true)
			_ = conn.Close()
		case state == http.StateClosed:
			if _, was := refused.LoadAndDelete(conn); !was {
				open.Leave(client)
			}
		}
	}
}
