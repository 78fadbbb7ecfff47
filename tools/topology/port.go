package topology

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/process"
)

// freePort returns the port if it is free, and any free one for 0.
func freePort(ctx context.Context, port int) (int, error) {
	if port == 0 {
		return freeport.Find(ctx)
	}
	err := freeport.Check(ctx, port)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return 0, process.Usage(fmt.Errorf(
			"port %d is in use: stop what uses it, or choose another one, as in PORT=8090 make run", port))
	case err != nil:
		return 0, process.Usage(fmt.Errorf("port %d cannot be listened on: %w", port, err))
	}
	return port, nil
}
