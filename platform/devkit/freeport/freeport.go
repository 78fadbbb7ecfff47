// Package freeport finds a port of the loopback for a program that is about to be started, and is told where to listen.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
)

// Find returns a port that nobody listens on. The kernel's own choice would be from the range that it takes for outgoing connections,
// and one of those may have the port by the time that the program binds it, or binds it again after it was killed.
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
