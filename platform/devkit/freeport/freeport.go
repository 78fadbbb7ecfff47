// Package freeport finds a port of the loopback for a program that is about to be started.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
)

// Find returns a port on which no process listens. The kernel's own choice would be from the range
// for outgoing connections: one could take the port before the program binds or rebinds it.
func Find(ctx context.Context) (int, error) {
	const lowest, highest, tries = 20000, 32000, 100
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		if Check(ctx, port) == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port was found from %d to %d", lowest, highest)
}

// Check returns nil if the port can be listened on.
func Check(ctx context.Context, port int) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return listener.Close()
}
