package remote

import (
	"net/netip"
	"sync"
	"time"
)

// Rate bounds how many requests a second each client may send. It is a token bucket, of which one
// time is kept for each client: when the bucket is full again.
type Rate struct {
	PerSecond int // the bucket holds the tokens of two seconds
	mu        sync.Mutex
	full      map[netip.Prefix]time.Time
	swept     time.Time
}

// mostClients bounds the buckets that are not full. While there are as many, a new client is let
// through: a flood from that many addresses is not to be stopped by counting addresses.
const mostClients = 1 << 16

// Admits takes a token of the client's, and reports whether there was one.
func (r *Rate) Admits(client netip.Addr, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full == nil {
		r.full = map[netip.Prefix]time.Time{}
	}
	if now.Sub(r.swept) >= time.Second {
		for who, at := range r.full {
			if !at.After(now) {
				delete(r.full, who) // which is the same as a full bucket
			}
		}
		r.swept = now
	}
	who := network(client)
	at, known := r.full[who]
	if !known && len(r.full) >= mostClients {
		return true
	}
	if at.Before(now) {
		at = now
	}
	at = at.Add(time.Second / time.Duration(r.PerSecond))
	if at.Sub(now) > 2*time.Second {
		return false
	}
	r.full[who] = at
	return true
}
