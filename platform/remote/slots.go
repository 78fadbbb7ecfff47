package remote

import (
	"net/netip"
	"sync"
)

// Slots bounds what each client may have under way. It keeps the clients that have something.
type Slots struct {
	Most  int // of one client
	mu    sync.Mutex
	taken map[netip.Prefix]int
}

// Take reports whether the client gets one more; then Leave gives it back.
func (s *Slots) Take(client netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = map[netip.Prefix]int{}
	}
	who := Network(client)
	if s.taken[who] >= s.Most {
		return false
	}
	s.taken[who]++
	return true
}

// Leave gives back what Take got.
func (s *Slots) Leave(client netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := Network(client)
	if s.taken[who]--; s.taken[who] == 0 {
		delete(s.taken, who)
	}
}

// Network returns what is counted as one client: an address, and of IPv6, where each subscriber has
// them by the billion, a /64.
func Network(client netip.Addr) netip.Prefix {
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	prefix, _ := client.Prefix(bits) // the zero Prefix for the zero Addr
	return prefix
}
