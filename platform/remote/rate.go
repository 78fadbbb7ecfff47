package remote

import (
	"sync"
	"time"
)

// Rate bounds how many requests a second each client may send. It is a token bucket, of which one
// time is kept for each client: when the bucket is full again. It is of this process: with several
// replicas, a client has the rate in each.
type Rate[K comparable] struct {
	PerSecond int // without a limit if 0
	Burst     int // the tokens of a full bucket
	mu        sync.Mutex
	full      map[K]time.Time
	swept     time.Time
}

// mostClients bounds the buckets that are not full. While there are as many, a new client is let
// through: a flood from that many is not to be stopped by counting them.
const mostClients = 1 << 16

// Wait takes a token of the client's, or returns how long it takes until there is one.
func (r *Rate[K]) Wait(who K, now time.Time) time.Duration {
	if r.PerSecond == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full == nil {
		r.full = map[K]time.Time{}
	}
	if now.Sub(r.swept) >= time.Second {
		for who, at := range r.full {
			if !at.After(now) {
				delete(r.full, who) // which is the same as a full bucket
			}
		}
		r.swept = now
	}
	at, known := r.full[who]
	if !known && len(r.full) >= mostClients {
		return 0
	}
	if at.Before(now) {
		at = now
	}
	token := time.Second / time.Duration(r.PerSecond)
	at = at.Add(token)
	if wait := at.Sub(now) - time.Duration(r.Burst)*token; wait > 0 {
		return wait
	}
	r.full[who] = at
	return 0
}
