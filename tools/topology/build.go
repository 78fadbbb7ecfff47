package topology

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build compiles the shop's commands into a new folder, which the caller removes.
func Build(ctx context.Context, flags ...string) (bin string, err error) {
	bin, err = os.MkdirTemp("", "shop-bin-")
	if err != nil {
		return "", err
	}
	args := append(append([]string{"build", "-o", bin}, flags...), "example.com/shop/cmd/...", "example.com/shop/tools/seam")
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput() //nolint:gosec // ours
	if err != nil {
		_ = os.RemoveAll(bin)
		return "", fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return bin, nil
}
