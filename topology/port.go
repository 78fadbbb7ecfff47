package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"

	"example.com/shop/platform/process"
)

// freePort returns the port if nobody listens there, and any free one for 0. The kernel's own choice would be from the range that it
// takes for outgoing connections, and one of those may have the port by the time that the process binds it.
func freePort(ctx context.Context, port int) (int, error) {
	const lowest, highest, tries = 20000, 32000, 100
	for range tries {
		candidate := port
		if port == 0 {
			candidate = lowest + rand.IntN(highest-lowest)
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", candidate))
		switch {
		case err == nil:
			return candidate, listener.Close()
		case port != 0 && !errors.Is(err, syscall.EADDRINUSE):
			return 0, process.Usage(fmt.Errorf("port %d cannot be listened on: %w", port, err))
		case port != 0:
			return 0, process.Usage(fmt.Errorf("port %d is in use: stop what uses it, or choose another one, as in PORT=8090 make run", port))
		}
	}
	return 0, fmt.Errorf("no free port was found from %d to %d", lowest, highest)
}
