package postgres

import (
	"net"
	"time"
)

// silence is how long a peer may leave data unacknowledged before either end gives up the
// connection. Nothing reports a network that is cut: a statement would wait for its own timeout,
// and TCP, which doubles its pauses, may stay silent after the cut for as long as it lasted. A busy
// process or server acknowledges all the same, because its kernel does.
const silence = 5 * time.Second

// keepAlive probes idle connections, which would never notice a cut, from either end.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3}
