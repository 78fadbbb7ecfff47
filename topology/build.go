package topology

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build compiles the shop's commands into a new folder, for tests that run them, with more flags of go build if there are any. The caller
// removes the folder.
func Build(ctx context.Context, flags ...string) (bin string, err error) {
	bin, err = os.MkdirTemp("", "shop-bin-")
	if err != nil {
		return "", err
	}
	args := append(append([]string{"build", "-o", bin}, flags...), "example.com/shop/cmd/...")
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput() //nolint:gosec // our own folder
	if err != nil {
		_ = os.RemoveAll(bin)
		return "", fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return bin, nil
}
