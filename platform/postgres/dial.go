package postgres

import (
	"net"
	"time"
)

// silence is how long a peer may acknowledge nothing before the connection is given up, from either end. A network that is cut tells
// nobody: without this an answer is waited for until the statement's own time is over, and TCP, which doubles its pauses, may be silent
// for as long after the cut as the cut was long. A process or a server that is merely busy acknowledges all the same, because its kernel
// does.
const silence = 5 * time.Second

// keepAlive asks a peer that owes nothing, for a resting connection would never notice. Server and client agree on it.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3}

// newDialer connects so that a dead connection is noticed within silence.
func newDialer() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: keepAlive, Control: limitSilence}
}
